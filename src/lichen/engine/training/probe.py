"""probe: a head trained alone, on features that the frozen body computes once for every row.

Shapes: N rows of a split, B rows of a batch, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.progress import Run
from lichen.data import batches
from lichen.data.batches import Batches
from lichen.engine.fit import fit
from lichen.engine.inputs import feeds
from lichen.engine.modules import heads
from lichen.engine.training import execution, masking, supervised
from lichen.engine.training.execution import Execution
from lichen.engine.training.job import Judge, Settings
from lichen.engine.training.lesson import Lesson
from lichen.engine.training.phase import Phase
from lichen.engine.training.ranks import ranks

BATCH_SIZE = 64
"""Rows the body is asked about at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What a body makes of rows: `values` float32 (N, F), with their targets and ids (N,)."""

    values: Tensor
    targets: Tensor
    ids: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cache:
    """Features of the rows that a head learns from, and of those that judge it."""

    train: Features
    validation: Features | None


class Alone(nn.Module):
    """A head without its body, under the name that it has in the net: its rates go by that."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x_BF: Tensor) -> Tensor:
        return self.head(x_BF)


def cached(module: nn.Module, lesson: Lesson, *, precision: str, run: Run) -> Cache:
    """Asks the body once for every row as it is, without augmentation.

    Args:
        precision: of the body's arithmetic; `auto`: the fastest on this machine, a recorded decision.
    """
    heads.of(module)
    train = _in_order(lesson, "train", None, run.device)
    chosen = _execution(module, lesson, train, precision, run)
    validation = None
    if lesson.data.num_rows("validation"):
        rows, judged = lesson.data.rows("validation"), lesson.num_judged
        some = None if judged is None or judged >= len(rows) else supervised.judged_rows(rows, judged)
        judging = _in_order(lesson, "validation", some, run.device)
        validation = _features(module, lesson, judging, chosen, run)
    return Cache(train=_features(module, lesson, train, chosen, run), validation=validation)


def of_rows(
    module: nn.Module, lesson: Lesson, chosen: np.ndarray | None, *, precision: str, run: Run
) -> Features:
    """The features of some train rows as they are; of all where `chosen` is None."""
    heads.of(module)
    made = _in_order(lesson, "train", chosen, run.device)
    return _features(module, lesson, made, _execution(module, lesson, made, precision, run), run)


def _in_order(lesson: Lesson, split: str, chosen: np.ndarray | None, device: str) -> Batches:
    """Rows of a split, or the chosen ones, each once and as they are."""
    rows = feeds.rows_of(lesson.data, split, lesson.assets)
    size = supervised.size_of(rows, lesson.assets)
    if chosen is None:
        return batches.of(rows, batch_size=BATCH_SIZE, size=size, device=device, is_shuffled=False,
                          lengths=feeds.lengths_of(rows))  # fmt: skip
    lengths = feeds.lengths_of(rows)
    return Batches(
        images=torch.from_numpy(rows.batch(chosen, size)).to(device), device=device, is_shuffled=False,
        lengths=None if lengths is None else torch.from_numpy(lengths[chosen]),
        targets=torch.from_numpy(rows.targets[chosen]).to(device),
        ids=torch.from_numpy(rows.ids[chosen].view(np.int64)).to(device), batch_size=BATCH_SIZE,
    )  # fmt: skip


def _execution(module: nn.Module, lesson: Lesson, made: Batches, precision: str, run: Run) -> Execution:
    def forward(net: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        with torch.no_grad():
            features_BF = net.features(lesson.task.inputs(x_BCHW, lesson.assets))  # type: ignore[operator]
        return lesson.task.loss(net.head(features_BF), y_B)  # type: ignore[operator]

    x_BCHW, y_B = next(iter(made.epoch(0)))[:2]
    about = {"batch": list(x_BCHW.shape), "parameters": sum(p.numel() for p in module.parameters())}
    return execution.decide(
        module, (x_BCHW, y_B), forward, precision=precision, num_steps=made.steps_per_epoch,
        run=Phase(run, "features"), about=about,
    )  # fmt: skip


def _features(module: nn.Module, lesson: Lesson, made: Batches, chosen: Execution, run: Run) -> Features:
    module.to(run.device)
    chosen.place(module).eval()
    parts = []
    with execution.in_force(chosen, run.device), torch.no_grad(), chosen.autocast(run.device):
        for done, batch in enumerate(made.epoch(0), 1):
            x_BCHW = chosen.place_batch(lesson.task.inputs(batch.images, lesson.assets))
            parts.append(module.features(x_BCHW).float())  # type: ignore[operator]
            run.emit("progress", done=done, total=made.steps_per_epoch, phase="features")
    values, order = torch.cat(parts), made.order(0).to(run.device)  # texts come by their length
    return Features(values=values[torch.argsort(order)], targets=made.targets, ids=made.ids)


def train(
    module: nn.Module,
    cache: Cache,
    lesson: Lesson,
    settings: Settings,
    *,
    run: Run,
    callback: Callable[..., Any] | None = None,
) -> None:
    """Trains a net's head in place on cached features; its zeros stay where the model is masked."""
    rows, (rank, world) = cache.train, ranks()
    made = Batches(
        images=rows.values, targets=rows.targets, ids=rows.ids, seed=settings.seed, device=run.device,
        batch_size=lesson.batch_size or supervised.usual_batch_size(len(rows.targets)),
        rank=rank, world=world, is_balanced=lesson.balance == "sampling",
        class_weights=supervised.weights_of(
            lesson.balance, rows.targets.cpu().numpy(), len(lesson.data.labels), run.device
        ),
    )  # fmt: skip
    objective = supervised.objective(
        lesson.task, {}, label_smoothing=lesson.label_smoothing, loss=lesson.loss, inputs=lambda x_BF: x_BF
    )
    alone = Alone(heads.of(module))
    with masking.kept(alone, lesson.assets):
        # Batches of features are tiny: a second thread costs more than it gives.
        fit(alone, made, settings, objective=objective, run=run, callback=callback, chosen=Execution(),
            judge=_judge(cache.validation, lesson) if cache.validation else None)  # fmt: skip


def _judge(rows: Features, lesson: Lesson) -> Judge:
    def outputs(head: nn.Module) -> np.ndarray:
        with torch.inference_mode():
            return head(rows.values).float().cpu().numpy()

    return supervised.judged(lesson.task, outputs, rows.targets.cpu().numpy(), lesson.metric)
