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
from lichen.engine.inputs import images
from lichen.engine.scores import divergence, metrics

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


class Classification:
    """What a task inherits; its own are `columns` and what a row is."""

    __slots__ = ()
    columns: tuple[str, ...]

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two classes, a target that is no class, no rows.
        """
        check(data, split, self.columns)

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy per row (B,) of outputs (B, K)."""
        return functional.cross_entropy(outputs.float(), targets, reduction="none")

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """Cross entropy per row (B,) against all classes alike."""
        return -torch.log_softmax(outputs.float(), -1).mean(-1)

    def apart(self, outputs: Tensor, taught: Tensor, assets: Mapping[str, Any], temperature: float) -> Tensor:
        """The divergence (B,) of softened chances of the classes from a teacher's."""
        return divergence.of_classes(outputs, taught, temperature)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        return {"accuracy": float((outputs.argmax(1) == targets).mean()),
                "log_loss": float(metrics.row_losses(outputs, targets).mean())}  # fmt: skip

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals and per-row answers of outputs (N, K)."""
        probabilities_NK = metrics.softmax(outputs)
        answer_N, losses_N = outputs.argmax(1), metrics.row_losses(outputs, targets)
        answers = {
            "truth": targets.astype(np.int32),
            "answer": answer_N.astype(np.int32),
            "confidence": probabilities_NK.max(1).astype(np.float32),
            "outcome": (answer_N == targets).astype(np.float32),
            "loss": losses_N.astype(np.float32),
        }
        if probabilities_NK.size <= PROBABILITIES_UP_TO:
            answers["probabilities"] = probabilities_NK.astype(np.float16)
        found = metrics.of_classes(probabilities_NK, losses_N, targets)
        return found, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row the label, its confidence, and the likeliest labels with theirs."""
        labels, replies = images.labels_of(outputs, assets), []
        for row_K in metrics.softmax(outputs):
            order = np.argsort(-row_K, kind="stable")[:SHOWN]
            top = [{"label": labels[place], "confidence": float(row_K[place])} for place in order]
            replies.append({**top[0], "top": top})
        return replies
