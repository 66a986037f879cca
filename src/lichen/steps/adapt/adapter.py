"""adapter: a few numbers beside each frozen layer learn other rows or labels; the base stays as it is.

A new head is trained alone first, as fine-tuning does it. What is stored is the adapter and the head; the
base is shared with the model that it came from.
Papers: Hu et al. 2021 (LoRA); Kalajdzievski 2023 (rsLoRA); Liu et al. 2024 (DoRA); Liu et al. 2022 (IA3).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError, UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Positive, Seed
from lichen.core.step import step
from lichen.core.value import count_text
from lichen.engine.inputs import feeds
from lichen.engine.programs import parity
from lichen.engine.task import task_of
from lichen.engine.training import adapters, masking, probe, start, supervised
from lichen.engine.training.job import Settings
from lichen.engine.training.lesson import Lesson
from lichen.engine.training.phase import Phase

EXACT = 1e-4
"""Share of the largest output that merging may change."""
NUM_ASKED = 64
RATES = {"lora": 0.003, "rslora": 0.001, "dora": 0.003, "ia3": 0.01}
"""Peak rates of AdamW: a step of rslora counts the root of the rank more; ia3's numbers start at one."""


@step(splits=("train", "validation"), without={"epochs": 0})
def adapter(
    model: Model,
    data: Dataset,
    *,
    method: Literal["lora", "rslora", "dora", "ia3"] = "lora",
    rank: Count = 8,
    alpha: Positive | None = None,
    targets: list[str] | None = None,
    dropout: Fraction = 0.0,
    epochs: Natural = 5,
    head_epochs: Natural = 20,
    head: Literal["auto", "keep", "new"] = "auto",
    batch_size: Count | None = None,
    rate: Positive | None = None,
    head_rate: Positive = 0.003,
    weight_decay: Positive = 0.01,
    schedule: Literal["cosine", "linear", "triangular", "constant", "step"] = "cosine",
    warmup: Positive = 0.5,
    label_smoothing: Fraction = 0.0,
    clip: Positive | None = None,
    patience: Natural | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Trains an adapter and a head on a model that is not touched, batch-norm's figures included.

    Args:
        method: lora adds a product of two thin matrices to each weight; rslora scales it so that large ranks
            learn; dora learns the length of each output's weights apart; ia3 only scales outputs.
        rank: of the two matrices; ia3 has none.
        alpha: the product counts alpha / rank times (rslora: over the root of the rank); None: twice the
            rank.
        targets: the layers to adapt by their names or how these end, such as [qkv, proj]; None: every linear
            layer and convolution but the head.
        dropout: of what goes into the matrices while they learn.
        epochs: over the train rows, after those of a new head alone; 0: the head only.
        head_epochs: of a new head on cached features of the rows as they are; they cost seconds.
        head: auto replaces it where the data's labels are not the model's; keep insists on it; new replaces
            it.
        rate: the peak rate of AdamW; None: the method's usual one.
        head_rate: that of the new head alone.

    Raises:
        UsageError: the model has an adapter already, is sparse, or has no layer that takes one.
        GateError: merged, the adapter would not answer as it does beside its base.
    """
    if model.is_adapted:
        raise UsageError("the model has an adapter already", hint="adapt.merge makes it a base")
    if masking.ASSET in model.assets:
        raise UsageError("an adapter would fill the zeros of a model that was sparsified",
                         hint="adapt.finetune keeps them; or sparsify after adapting")  # fmt: skip
    task = task_of(model.task)
    task.check(data, "train")
    began = start.of(model, data, task.num_outputs(data), head=head, seed=seed)
    module, assets, options = began.module, began.assets, began.options
    lesson = Lesson(
        task=task, data=data, assets=assets, batch_size=batch_size, label_smoothing=label_smoothing,
        num_judged=supervised.num_judged(data) if patience is None else None,
    )  # fmt: skip
    if began.is_new and head_epochs:
        alone = Settings(
            epochs=head_epochs, optimizer="adamw", rate=head_rate, weight_decay=weight_decay, seed=seed
        )
        cache = probe.cached(module, lesson, precision=precision, run=run)
        probe.train(module, cache, lesson, alone, run=Phase(run, "head"))
    layers = adapters.targets(module, method, targets)
    about = {
        "method": method,
        "rank": rank,
        "alpha": 2.0 * rank if alpha is None else alpha,
        "layers": layers,
    }
    adapters.put_in(module.to("cpu"), about, dropout=dropout, seed=seed)
    if not feeds.are_packed(assets):
        adapters.open_head(module)
    if epochs:
        settings = Settings(
            epochs=epochs, optimizer="adamw", rate=RATES[method] if rate is None else rate,
            weight_decay=weight_decay, schedule=schedule, warmup=warmup, clip=clip, patience=patience,
            precision=precision, seed=seed,
        )  # fmt: skip
        lesson.fit(module, settings, run=run, about={"net": model.net, "adapter": method})
    adapters.require_untouched(module.to("cpu"), model.weights())
    made = model.adapted(adapters.taken_out(module, about), adapter=about, options=options, assets=assets)
    _report(module, made, _difference(module, made, data), run)
    return made


def _difference(module: nn.Module, made: Model, data: Dataset) -> float:
    """The largest difference that merging makes to an output of some rows, as a share of the largest.

    Raises:
        GateError: it is too large.
    """
    rows, task = feeds.rows_of(data, parity.judging_split(data), made.assets), task_of(made.task)
    chosen = supervised.judged_rows(rows, NUM_ASKED)
    images_NCHW = rows.batch(chosen, supervised.size_of(rows, made.assets))
    beside_NK, merged_NK = (
        supervised.outputs_of(net.eval(), images_NCHW, task, made.assets) for net in (module, made.torch())
    )
    worst = float(np.abs(beside_NK - merged_NK).max() / max(np.abs(beside_NK).max(), 1e-12))
    if not worst <= EXACT:
        raise GateError(
            f"merged, the adapter must answer as it does beside its base to {EXACT:g} of the largest output;"
            f" it differs by {worst:.2g}",
            hint="targets=[...] without the layers whose weights the net also reads elsewhere",
        )
    return worst


def _report(module: nn.Module, made: Model, worst: float, run: Run) -> None:
    learnt = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    run.emit(
        "note",
        text=f"{count_text(learnt)} of {count_text(made.num_params)} numbers learnt, in"
        f" {len(made.face['adapter']['layers'])} layers and the head; merged it answers alike to {worst:.1e}",
    )
