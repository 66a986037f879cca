"""classes: what every task does that answers one class per row, whatever the row is.

Shapes: B rows of a batch, N rows of a split, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.engine import images, metrics

PROBABILITIES_UP_TO = 2_000_000
"""Scores keep the whole table of probabilities up to this many numbers."""
SHOWN = 5
"""Labels per answer."""


def check(data: Dataset, split: str, columns: tuple[str, ...]) -> None:
    """Refuses rows that cannot be learnt from.

    Raises:
        DataError: a missing column, fewer than two classes, a target that is no class, no rows.
    """
    images.check(data, split, columns)
    images.check_classes(data, split)


def loss(outputs_BK: Tensor, targets_B: Tensor) -> Tensor:
    """Cross entropy per row (B,)."""
    return functional.cross_entropy(outputs_BK.float(), targets_B, reduction="none")


def blank_loss(outputs_BK: Tensor) -> Tensor:
    """Cross entropy per row (B,) against all classes alike."""
    return -torch.log_softmax(outputs_BK.float(), -1).mean(-1)


def figures(outputs_NK: np.ndarray, targets_N: np.ndarray) -> dict[str, float]:
    """The quick figures of one epoch, headline first."""
    return {"accuracy": float((outputs_NK.argmax(1) == targets_N).mean()),
            "log_loss": float(metrics.row_losses(outputs_NK, targets_N).mean())}  # fmt: skip


def score(
    outputs_NK: np.ndarray, targets_N: np.ndarray
) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
    """Metrics with 95 % intervals and per-row answers."""
    probabilities_NK = metrics.softmax(outputs_NK)
    losses_N = metrics.row_losses(outputs_NK, targets_N)
    answers = {
        "truth": targets_N.astype(np.int32),
        "answer": outputs_NK.argmax(1).astype(np.int32),
        "confidence": probabilities_NK.max(1).astype(np.float32),
        "outcome": (outputs_NK.argmax(1) == targets_N).astype(np.float32),
        "loss": losses_N.astype(np.float32),
    }
    if probabilities_NK.size <= PROBABILITIES_UP_TO:
        answers["probabilities"] = probabilities_NK.astype(np.float16)
    found = metrics.of_classes(probabilities_NK, losses_N, targets_N)
    return found, {name: Array.of(values) for name, values in answers.items()}


def reply(outputs_BK: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per row the label, its confidence, and the likeliest labels with theirs."""
    labels, replies = images.labels_of(outputs_BK, assets), []
    for row_K in metrics.softmax(outputs_BK):
        order = np.argsort(-row_K, kind="stable")[:SHOWN]
        top = [{"label": labels[place], "confidence": float(row_K[place])} for place in order]
        replies.append({**top[0], "top": top})
    return replies
