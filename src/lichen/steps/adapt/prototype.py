"""prototype: a class is the mean of the features of its rows; nothing is trained, so a few rows will do.

By euclidean distance the head is a linear layer (w = 2 c, b = -|c|^2); by cosine it compares directions.
How sure it is comes from the train rows themselves, each judged by the means of all others.
Paper: Snell et al. 2017, "Prototypical Networks for Few-shot Learning", sections 2.2 to 2.4.

Shapes: N rows, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.protocols import Task
from lichen.core.schema import Count, Seed
from lichen.core.step import step
from lichen.data import draws
from lichen.data.rows import Rows
from lichen.engine.modules import backend, heads
from lichen.engine.scores import temperature
from lichen.engine.task import task_of
from lichen.engine.training import probe
from lichen.engine.training.lesson import Lesson
from lichen.engine.training.probe import Features

COLDEST, HOTTEST = 1e-3, 1e6
"""Temperatures of distances: features come in any size."""


@step(splits=("train",), without=None)
def prototype(
    model: Model,
    data: Dataset,
    *,
    distance: Literal["cosine", "euclidean"] = "cosine",
    shots: Count | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Gives a model a head of class means; its body, its normalisation and its picture size stay.

    Args:
        distance: by which the nearest mean is found; cosine compares directions only.
        shots: train rows per class, chosen by a hash of (seed, row); None: all.
        precision: of the arithmetic; auto: the fastest on this machine, a recorded decision.

    Raises:
        UsageError: the task does not put each row into one class.
        DataError: a class has no train rows.
    """
    task, rows = task_of(model.task), data.rows("train")
    task.check(data, "train")
    _require_classes(task, data, rows)
    module = model.torch()
    kind = "cosine" if distance == "cosine" else "linear"
    heads.replace(module, kind, len(data.labels))
    assets = {name: thing for name, thing in model.assets.items() if name != "is_head_new"}
    lesson = Lesson(task=task, data=data, assets={**assets, "labels": data.labels})
    chosen = None if shots is None else _chosen(rows, len(data.labels), shots, seed)
    found = probe.of_rows(module, lesson, chosen, precision=precision, run=run)
    _fill(heads.of(module), found, len(data.labels), task)
    options = heads.options(dict(model.options), kind, len(data.labels))
    run.emit("note", text=f"{len(data.labels)} means of {len(found.targets)} rows")
    return model.with_weights(
        backend.arrays_of(module.to("cpu")), options=options, assets=dict(lesson.assets)
    )


def _require_classes(task: Task, data: Dataset, rows: Rows) -> None:
    if rows.targets.ndim != 1 or not 0 < task.num_outputs(data) == len(data.labels):
        raise UsageError(
            f"class means need one class per row and one output per class; {task.name} has others",
            hint="adapt.finetune(freeze='body') trains any task's head",
        )
    counts_K = np.bincount(rows.targets, minlength=len(data.labels))
    if not counts_K.all():
        raise DataError(f"every class must have train rows; `{data.labels[int(counts_K.argmin())]}` has none")


def _chosen(rows: Rows, num_classes: int, shots: int, seed: int) -> np.ndarray:
    """int64: up to `shots` rows of each class, those of the smallest hashes, in their order."""
    hashes_N = draws.hashes(rows.ids.view(np.int64), seed=seed, epoch=0)
    order = np.argsort(hashes_N, kind="stable")
    return np.sort(np.concatenate([order[rows.targets[order] == k][:shots] for k in range(num_classes)]))


@torch.no_grad()
def _fill(head: nn.Module, found: Features, num_classes: int, task: Task) -> None:
    """Puts the means in place, and the temperature that the rows themselves ask for."""
    is_cosine = isinstance(head, heads.Cosine)
    x_NF = functional.normalize(found.values, dim=-1) if is_cosine else found.values
    means_KF, counts_K = means(x_NF, found.targets, num_classes)
    compare = cosines if is_cosine else nearness
    is_judged_N = counts_K[found.targets] > 1  # a class of one row has no mean without it
    heat = 1.0 / heads.SCALE if is_cosine else 1.0
    if is_judged_N.any():
        outputs_NK = left_out(x_NF, found.targets, means_KF, counts_K, compare)[is_judged_N]
        heat = temperature.fitted(outputs_NK.cpu().numpy(), found.targets[is_judged_N].cpu().numpy(),
                                  task.loss, coldest=COLDEST, hottest=HOTTEST)  # fmt: skip
    head.load_state_dict(_cosine_head(means_KF, heat) if is_cosine else _linear_head(means_KF, heat))


def means(x_NF: Tensor, targets_N: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """(K, F) the mean of each class, and (K,) how many rows it is of."""
    member_NK = functional.one_hot(targets_N, num_classes).to(x_NF.dtype)
    counts_K = member_NK.sum(0)
    return (member_NK.T @ x_NF) / counts_K[:, None], counts_K


def nearness(x_NF: Tensor, means_NKF: Tensor) -> Tensor:
    """2 f c - |c|^2: minus the squared distance, up to what is the same for every class."""
    return 2.0 * (means_NKF @ x_NF[..., None])[..., 0] - means_NKF.square().sum(-1)


def cosines(x_NF: Tensor, means_NKF: Tensor) -> Tensor:
    return (functional.normalize(means_NKF, dim=-1) @ x_NF[..., None])[..., 0]


def left_out(x_NF: Tensor, targets_N: Tensor, means_KF: Tensor, counts_K: Tensor, compare: Any) -> Tensor:
    """(N, K): what each row is told by the means of all rows but itself."""
    outputs_NK = compare(x_NF, means_KF)
    count_N1 = counts_K[targets_N][:, None]
    own_NF = (count_N1 * means_KF[targets_N] - x_NF) / (count_N1 - 1.0).clamp(min=1.0)
    own_N1 = compare(x_NF, own_NF[:, None])
    return outputs_NK.scatter(1, targets_N[:, None], own_N1)


def _cosine_head(means_KF: Tensor, heat: float) -> Mapping[str, Tensor]:
    return {"weight": means_KF, "scale": torch.tensor(1.0 / heat)}


def _linear_head(means_KF: Tensor, heat: float) -> Mapping[str, Tensor]:
    return {"weight": 2.0 * means_KF / heat, "bias": -means_KF.square().sum(-1) / heat}
