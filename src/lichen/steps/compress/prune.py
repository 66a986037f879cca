"""prune: remove whole channels until the net does a share of the work, then recover by fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.protocols import Task
from lichen.core.schema import Count, Fraction, Natural, Positive, Ratio, Seed
from lichen.core.step import step
from lichen.core.value import count_text
from lichen.engine import backend, execution, macs, pictures, programs, pruning, supervised
from lichen.engine.execution import Execution, Objective
from lichen.engine.fit import Settings, fit
from lichen.engine.task import task_of

LADDER = {"speedup": [1.5, 2.0, 3.0, 4.0, 6.0, 8.0]}
"""What a study asks for, weakest first."""
NUM_BATCHES = 8
"""Train batches that tell how important a channel is."""
TEMPERATURE = 4.0
"""Softens the teacher's outputs: Hinton et al. 2015, section 3, tries 1 to 20."""
FASTER = 1.05
"""A gain below this is not one."""


@step
def prune(
    model: Model,
    data: Dataset,
    *,
    speedup: Ratio = 2.0,
    importance: Literal["group_norm", "taylor"] = "group_norm",
    round_to: Count = 8,
    epochs: Natural = 3,
    batch_size: Count | None = None,
    rate: Positive = 0.02,
    weight_decay: Positive = 0.0005,
    distillation: Fraction = 0.5,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Removes the least important channels of all layers together, with everything that depends on them.

    Args:
        speedup: how many times fewer multiply-accumulates; inputs and outputs of the net stay.
        importance: of a channel: the norm of its weights, or the loss's first-order change without it.
        round_to: widths become multiples of this; ragged ones are often slower than the whole net.
        epochs: of fine-tuning on the data's train rows and augmentation policy; 0: none.
        rate: the peak rate of the fine-tuning.
        distillation: the share of the loss that compares with the outputs of the model before pruning.
        precision: of the fine-tuning; auto: the fastest on this machine, a recorded decision.
    """
    task, assets = task_of(model.task), model.assets
    task.check(data, "train")
    shape = list(pictures.shape(assets))
    whole = backend.module_of(model)
    batches = supervised.train_batches(data, shape, batch_size=batch_size, seed=seed, device=run.device)
    gradients = _gradients(batches, supervised.objective(task, assets)) if importance == "taylor" else None
    with execution.in_force(Execution(), "cpu"):  # one thread, float32: equal bits anywhere
        slim = pruning.prune(
            whole, shape, speedup=speedup, importance=importance, round_to=round_to, gradients=gradients
        )
    work = macs.count(whole, shape), macs.count(slim, shape)
    if epochs:
        settings = Settings(
            epochs=epochs, rate=rate, weight_decay=weight_decay, precision=precision, seed=seed
        )
        fit(
            slim, batches, settings, run=run, about={"net": model.net, "macs": work[1]},
            objective=distilled(whole.to(run.device), task, assets, distillation),
            judge=supervised.judge(task, data, assets, device=run.device),
        )  # fmt: skip
    pruned = model.with_weights(backend.arrays_of(slim.to("cpu").eval()))
    _report(model, pruned, work, run)
    return pruned


def distilled(teacher: nn.Module, task: Task, assets: Any, share: float) -> Objective:
    """(1 - share) of the task's loss and a share of the distance to a teacher's softened outputs.

    Paper: Hinton et al. 2015: T^2 KL(softmax(t / T) || softmax(s / T)).
    """
    if share == 0.0:
        return supervised.objective(task, assets)
    teacher.requires_grad_(False).eval()

    def objective(module: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        inputs_BCHW = task.inputs(x_BCHW, assets)
        outputs_BK = module(inputs_BCHW)
        with torch.no_grad():
            taught_BK = torch.log_softmax(teacher(inputs_BCHW).float() / TEMPERATURE, -1)
        said_BK = torch.log_softmax(outputs_BK.float() / TEMPERATURE, -1)
        apart_B = functional.kl_div(said_BK, taught_BK, reduction="none", log_target=True).sum(-1)
        return (1.0 - share) * task.loss(outputs_BK, y_B) + share * TEMPERATURE**2 * apart_B

    return objective


def _gradients(batches: Any, objective: Objective) -> Callable[[nn.Module], None]:
    """Accumulates the loss's gradient over the first train batches."""

    def accumulate(module: nn.Module) -> None:
        for x_BCHW, y_B, *_ in islice(batches.epoch(0), NUM_BATCHES):
            objective(module, x_BCHW.to("cpu"), y_B.to("cpu")).mean().backward()

    return accumulate


def _report(model: Model, pruned: Model, work: tuple[int, int], run: Run) -> None:
    """Says what was gained, in work and in time as deployed: less work is not always less time."""
    whole = programs.candidates(model, programs.files_of(model), runtime="onnxruntime")
    slim = programs.candidates(pruned, programs.files_of(pruned), runtime="onnxruntime")
    found = programs.raced(
        {"before": whole["onnxruntime/float32"], "after": slim["onnxruntime/float32"]}
    ).latency_ms
    gain = found["before"] / found["after"]
    run.emit(
        "note",
        text=f"multiply-accumulates {count_text(work[0])} -> {count_text(work[1])}"
        f" ({work[0] / work[1]:.2f}x),"
        f" one row {found['before']:.3g} -> {found['after']:.3g} ms ({gain:.2f}x)",
    )
    if gain < FASTER:
        run.emit("warning", text=f"pruned {work[0] / work[1]:.2f}x but not faster here: {gain:.2f}x")
