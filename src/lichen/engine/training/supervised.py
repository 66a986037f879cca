"""supervised: what a task, a dataset and options mean to the training loop: batches, objective, judge.

Shapes: B rows of a batch, N rows of a split, K outputs.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.protocols import Decoded, Primed, SelfSupervised, Task
from lichen.data import batches
from lichen.data.balance import class_weights
from lichen.data.batches import Epochs, Source
from lichen.data.buckets import Buckets
from lichen.data.images import Images
from lichen.data.pairing import Pairs
from lichen.engine.inputs import feeds
from lichen.engine.modules import views
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution, Objective
from lichen.engine.training.job import Judge
from lichen.engine.training.ranks import ranks

PRIME_ROWS = 5000
"""Train rows that a net sees before it is trained: those with the smallest ids."""
JUDGE_ROWS = 512
"""Rows per batch when judging: enough to fill the cores."""

ASKED_SHARE, ASKED = 4, 500
"""A fourth as many rows as there are train rows, at least 500."""
MOST_OUTPUTS = 1 << 24
"""Numbers that a net may answer at a time where it answers for every token."""
MOST_PIXELS = 1 << 21
"""Numbers of pictures that a net is asked about at a time: what it makes of them is far more."""


def pixels(rows: Images, image_shape: Sequence[int]) -> np.ndarray:
    """uint8 (N, C, H, W) of a split in the shape that a model takes.

    Raises:
        UsageError: the pictures have other channels than the model.
    """
    size = side(rows, image_shape)
    return rows.images if size is None else rows.at_size(size)


def side(rows: Images, image_shape: Sequence[int]) -> int | None:
    """The side that pictures must be resized to for a model; None: they fit as they are."""
    channels, height, width = image_shape
    if rows.shape[0] != channels:
        raise UsageError(f"the model takes pictures of {channels} channels; the data has {rows.shape[0]}")
    if rows.shape[1:] == (height, width):
        return None
    if height != width:
        raise UsageError(f"pictures can be resized to squares only, not {height}x{width}")
    return height


def whole(rows: Source, assets: Mapping[str, Any]) -> np.ndarray:
    """A split as the net of these assets takes it: uint8 (N, C, H, W), or int32 (N, T)."""
    return rows.whole(size_of(rows, assets))


def size_of(rows: Source, assets: Mapping[str, Any]) -> int | None:
    """The side that pictures must be resized to; None: the rows fit as they are, as texts always do."""
    return side(rows, assets["image_shape"]) if isinstance(rows, Images) else None


def train_batches(
    data: Dataset,
    image_shape: Sequence[int],
    *,
    batch_size: int | None,
    seed: int,
    device: str = "cpu",
    balance: str = "none",
) -> Epochs:
    """`batches_of` for pictures of this shape."""
    assets = {"image_shape": image_shape}
    return batches_of(data, assets, batch_size=batch_size, seed=seed, device=device, balance=balance)


def batches_of(
    data: Dataset,
    assets: Mapping[str, Any],
    *,
    batch_size: int | None,
    seed: int,
    device: str = "cpu",
    balance: str = "none",
) -> Epochs:
    """This rank's share of train batches, augmented by the data's policy.

    Args:
        batch_size: over all ranks; None: `usual_batch_size`.
        balance: of classes, as `balanced` takes it.
    """
    rows = feeds.rows_of(data, "train", assets)
    batch_size = batch_size or usual_batch_size(rows.num_rows)
    rank, world = ranks()
    if isinstance(rows, Pairs):
        return Buckets(rows=rows, batch_size=batch_size, seed=seed, device=device, rank=rank, world=world)
    if feeds.are_packed(assets) or feeds.are_codes(assets):
        return batches.of(rows, batch_size=batch_size, seed=seed, has_targets=False, drops_last=True,
                          device=device, rank=rank, world=world)  # fmt: skip
    return batches.of(
        rows, batch_size=batch_size, seed=seed, size=size_of(rows, assets), policy=data.policy or None,
        num_classes=len(data.labels), device=device, rank=rank, world=world,
        lengths=feeds.lengths_of(rows),
        class_weights=weights_of(balance, rows.targets, len(data.labels), device),
        is_balanced=balance == "sampling",
    )  # fmt: skip


def weights_of(balance: str, targets: np.ndarray, num_classes: int, device: str = "cpu") -> Tensor | None:
    """float32 (K,): what a row of each class counts in the loss; None: alike.

    Args:
        balance: none, weights, or sampling: then rows count alike and come in other numbers.

    Raises:
        UsageError: rows have no one class to balance by.
    """
    if balance != "none" and (targets.ndim != 1 or targets.dtype.kind not in "iu"):
        raise UsageError("rows must have one class each to balance by; these may have several",
                         hint="balance='none'")  # fmt: skip
    if balance != "weights":
        return None
    return class_weights(torch.from_numpy(targets.copy()), num_classes).to(device)


def prime(module: nn.Module, data: Dataset, task: Task, assets: Mapping[str, Any]) -> None:
    """Shows train rows to a net that wants to see some before it is trained; to others nothing happens."""
    if not isinstance(module, Primed):
        return
    rows = data.rows("train")
    chosen = judged_rows(rows, PRIME_ROWS)
    x_NCHW = torch.from_numpy(rows.batch(chosen, side(rows, assets["image_shape"])))
    with execution.in_force(Execution(), "cpu"):
        module.prime(task.inputs(x_NCHW, assets))


def usual_batch_size(num_rows: int) -> int:
    """The largest power of two up to 128 that leaves 32 steps to an epoch, and 8 at least."""
    return 2 ** min(7, max(3, (num_rows // 32).bit_length() - 1))


def objective(
    task: Task,
    assets: Mapping[str, Any],
    *,
    label_smoothing: float = 0.0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    inputs: Callable[[Tensor], Tensor] | None = None,
) -> Objective:
    """(module, pixels, targets) -> loss: the task's per row, or a user's.

    Args:
        inputs: what a batch becomes before the module sees it; None: the task's own way with pixels.
        label_smoothing: this share of each target goes to all classes alike (Szegedy et al. 2016, section 7).
    """
    if isinstance(task, SelfSupervised):
        if loss is not None:
            raise UsageError(f"{task.name} has its own loss; another means nothing to it")
        own = task.objective
        if not label_smoothing:
            return lambda module, rows, _: own(module, rows, assets)
        if not isinstance(task, Decoded):
            raise UsageError(f"{task.name} has its own loss; label_smoothing means nothing to it")
        smoothed_own = task.smoothed
        return lambda module, rows, _: smoothed_own(module, rows, assets, label_smoothing)
    measure = loss or task.loss
    blank = getattr(task, "blank_loss", None)
    if label_smoothing and blank is None:
        raise UsageError(f"label_smoothing means nothing to {task.name}: it has no `blank_loss`")
    prepared = inputs or (lambda x_BCHW: task.inputs(x_BCHW, assets))

    def plain(module: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        return measure(module(prepared(x_BCHW)), y_B)

    def smoothed(module: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        outputs_BK = module(prepared(x_BCHW))
        blank_B = blank(outputs_BK)  # type: ignore[misc]
        return (1.0 - label_smoothing) * measure(outputs_BK, y_B) + label_smoothing * blank_B

    return smoothed if label_smoothing else plain


def judge(
    task: Task,
    data: Dataset,
    assets: Mapping[str, Any],
    *,
    device: str = "cpu",
    metric: Callable[..., float] | None = None,
    num_rows: int | None = None,
) -> Judge | None:
    """Judges on validation rows, by the task's headline or a user's metric; None where there are none.

    Args:
        num_rows: judge on this many, always the same ones; None: on all.
    """
    if not data.num_rows("validation"):
        return None
    rows = feeds.rows_of(data, "validation", assets)
    if num_rows is None or num_rows >= rows.num_rows:
        images, targets = whole(rows, assets), rows.targets
    else:
        chosen = judged_rows(rows, num_rows)
        images, targets = rows.batch(chosen, size_of(rows, assets)), rows.targets[chosen]

    if (order := feeds.order_of(images, assets)) is not None:
        images, targets = images[order], targets[order]

    def outputs(module: nn.Module) -> np.ndarray:
        return outputs_of(module, images, task, assets, device=device)

    return judged(task, outputs, targets, metric)


def num_judged(data: Dataset) -> int:
    """How many validation rows are asked after each epoch where the answer decides nothing."""
    return max(ASKED, data.num_rows("train") // ASKED_SHARE)


def judged_rows(rows: Source, num_rows: int) -> np.ndarray:
    """int64: the rows with the smallest ids, in their order: the same ones whatever else the split holds."""
    return np.sort(np.argsort(rows.ids, kind="stable")[:num_rows])


def judged(
    task: Task,
    outputs: Callable[[nn.Module], np.ndarray],
    targets: np.ndarray,
    metric: Callable[..., float] | None,
) -> Judge:
    """A Judge of what a module answers, `outputs(module)` (N, K), against targets (N,)."""
    if metric is None:
        headline, higher = task.headline, task.higher_is_better
        if isinstance(task, Decoded):
            headline, higher = task.quick, False
        return Judge(
            measure=lambda module: task.figures(outputs(module), targets), headline=headline,
            higher_is_better=higher,
        )  # fmt: skip
    name = metric_name(metric)
    return Judge(
        measure=lambda module: {name: float(metric(outputs(module), targets))}, headline=name,
        higher_is_better=getattr(metric, "higher_is_better", True),
    )  # fmt: skip


def metric_name(metric: Callable[..., float]) -> str:
    return getattr(inspect.unwrap(metric), "__name__", "metric")


def outputs_of(
    module: nn.Module,
    images_NCHW: np.ndarray,
    task: Task,
    assets: Mapping[str, Any],
    *,
    device: str = "cpu",
    batch_size: int = JUDGE_ROWS,
) -> np.ndarray:
    """float32 (N, K) outputs of uint8 pixels, averaged over the views that assets name, or of texts.

    Of a self-supervised task what it keeps of them, (N, T).
    """
    parts, batch_size = [], at_once(batch_size, assets)
    with torch.inference_mode():
        for start in range(0, len(images_NCHW), batch_size):
            x_BCHW = torch.from_numpy(np.array(images_NCHW[start : start + batch_size])).to(device)
            if isinstance(task, SelfSupervised):
                outputs = task.told(module, x_BCHW, assets)
            else:
                outputs = views.answered(module, _laid(task.inputs(x_BCHW, assets)), assets).float()
            parts.append(outputs.cpu())
    return torch.cat(parts).numpy()


def _laid(x: Tensor) -> Tensor:
    """Pictures with their channels last, which convolutions of a CPU read up to twice as fast."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def at_once(batch_size: int, assets: Mapping[str, Any]) -> int:
    """Rows to be answered at a time: fewer where they are large, or each is answered for all its tokens."""
    if feeds.tells_tokens(assets):
        return max(1, min(batch_size, MOST_OUTPUTS // math.prod(feeds.in_shape(assets))))
    return max(1, min(batch_size, MOST_PIXELS // math.prod(assets.get("image_shape", [1]))))
