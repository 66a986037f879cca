"""sparsify: set the smallest weights to zero and keep them there while the others recover."""

from __future__ import annotations

import zlib
from typing import Literal

from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Positive, Seed
from lichen.core.step import step
from lichen.core.value import size_text
from lichen.engine.compression import distillation, latency
from lichen.engine.compression.distillation import Lessons
from lichen.engine.fit import Settings, fit
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.programs import executables
from lichen.engine.task import task_of
from lichen.engine.training import masking, supervised
from lichen.engine.training.phase import Phase

FASTER = 1.05
"""A gain below this is not one."""


@step(without={"sparsity": 0.0})
def sparsify(
    model: Model,
    data: Dataset,
    *,
    sparsity: Fraction = 0.5,
    pattern: Literal["global", "layer", "2:4"] = "global",
    rounds: Count = 1,
    round_epochs: Natural = 1,
    epochs: Natural = 3,
    batch_size: Count | None = None,
    rate: Positive = 0.02,
    weight_decay: Positive = 0.0005,
    distillation_share: Fraction = 0.5,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Masks the smallest weights; the head stays whole.

    Which layers are masked stands in the model's assets, and later trainings keep the zeros. The net is not
    narrower: on a CPU zeros cost as much as other numbers, which the step measures and says.

    Args:
        sparsity: the share of weights that become zero; 2:4 always takes a half.
        pattern: of the zeros: the smallest of all layers together, the same share of each layer, or two of
            every four inputs that follow each other.
        rounds: in which the share is approached, each with a recovery (Zhu and Gupta 2017).
        round_epochs: of the fine-tuning after each round but the last.
        epochs: of fine-tuning on the data's train rows and augmentation policy; 0: none.
        rate: the peak rate of the fine-tuning.
        distillation_share: of the loss, that compares with the outputs of the model before.
        precision: of the fine-tuning; auto: the fastest on this machine, a recorded decision.
    """
    if sparsity == 0.0:
        return model
    task, assets = task_of(model.task), dict(model.assets)
    task.check(data, "train")
    shape = feeds.shape(assets)
    module = backend.module_of(model)
    batches = supervised.batches_of(data, assets, batch_size=batch_size, seed=seed, device=run.device)
    teacher = backend.module_of(model).to(run.device)
    objective = distillation.objective(teacher, task, assets, Lessons(share=distillation_share))
    for number in range(1, rounds + 1):
        is_last = number == rounds
        found = masking.masks(module.to("cpu"), pattern, _share(sparsity, number / rounds), shape)
        found = masking.both(found, masking.of(module, assets))
        settings = Settings(
            epochs=epochs if is_last else round_epochs, rate=rate, weight_decay=weight_decay,
            precision=precision, seed=seed + number - 1,
        )  # fmt: skip
        with masking.held(module, found):
            if settings.epochs:
                fit(
                    module, batches, settings, objective=objective,
                    run=run if is_last else Phase(run, f"round_{number}"),
                    about={"net": model.net, "masked": pattern},
                    judge=supervised.judge(task, data, assets, device=run.device),
                )  # fmt: skip
    assets[masking.ASSET] = {"pattern": pattern, "layers": sorted(found)}
    masked = model.with_weights(backend.arrays_of(module.to("cpu").eval()), assets=assets)
    _report(model, masked, module, sorted(found), run)
    return masked


def _share(sparsity: float, part: float) -> float:
    """The share after a part of the rounds: fast at first, then slow (Zhu and Gupta 2017, equation 1)."""
    return sparsity * (1.0 - (1.0 - part) ** 3)


def _report(model: Model, masked: Model, module: nn.Module, layers: list[str], run: Run) -> None:
    """Says how many zeros there are and what they are worth: bytes where a file is packed, time if any."""
    shares = masking.shares(module, layers)
    before, after = (_packed_bytes(value) for value in (model, masked))
    found = latency.beside(_float(model), _float(masked))
    gain = found["before"] / found["after"]
    run.emit(
        "note",
        text=f"zeros in {len(shares)} layers, {min(shares.values()):.1%} to {max(shares.values()):.1%} each;"
        f" {size_text(masked.size_bytes)} as stored, packed {size_text(before)} -> {size_text(after)};"
        f" one row {found['before']:.3g} -> {found['after']:.3g} ms ({gain:.2f}x)",
    )
    if gain < FASTER:
        run.emit("warning", text="zeros are not faster here: this runtime multiplies by them like by other"
                 " numbers; compress.prune removes whole channels")  # fmt: skip


def _packed_bytes(model: Model) -> int:
    """What the tensors take in an archive (deflate)."""
    return sum(len(zlib.compress(bytes(array.data), 6)) for array in model.weights().values())


def _float(model: Model) -> Program:
    return executables.candidates(model, executables.files_of(model), runtime="onnxruntime")[
        "onnxruntime/float32"
    ]
