"""image_classification: one label per picture.

Shapes: B rows of a batch, N rows of a split, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageClassification:
    """The task of naming what a picture shows."""

    name: str = "image_classification"
    headline: str = "accuracy"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("image", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two classes, a target that is no class, no rows.
        """
        images.check(data, split, self.columns)
        images.check_classes(data, split)

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels)

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: images.Normaliser | None = None,
    ) -> dict[str, Any]:
        """`labels`, `mean`, `std`, `image_shape`; see `images.assets`."""
        return images.assets(data, image_size, normaliser)

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """uint8 (B, C, H, W) -> float32 of mean 0 and deviation 1 over the train rows."""
        return images.inputs(batch, assets)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy per row (B,) of outputs (B, K)."""
        return functional.cross_entropy(outputs.float(), targets, reduction="none")

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """Cross entropy per row (B,) against all classes alike."""
        return -torch.log_softmax(outputs.float(), -1).mean(-1)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        return {"accuracy": float((outputs.argmax(1) == targets).mean()),
                "log_loss": float(metrics.row_losses(outputs, targets).mean())}  # fmt: skip

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals and per-row answers of outputs (N, K)."""
        probabilities_NK = metrics.softmax(outputs)
        losses_N = metrics.row_losses(outputs, targets)
        answers = {
            "truth": targets.astype(np.int32),
            "answer": outputs.argmax(1).astype(np.int32),
            "confidence": probabilities_NK.max(1).astype(np.float32),
            "outcome": (outputs.argmax(1) == targets).astype(np.float32),
            "loss": losses_N.astype(np.float32),
        }
        if probabilities_NK.size <= PROBABILITIES_UP_TO:
            answers["probabilities"] = probabilities_NK.astype(np.float16)
        figures = metrics.of_classes(probabilities_NK, losses_N, targets)
        return figures, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row the label, its confidence, and the likeliest labels with theirs."""
        labels, replies = images.labels_of(outputs, assets), []
        for row_K in metrics.softmax(outputs):
            order = np.argsort(-row_K, kind="stable")[:SHOWN]
            top = [{"label": labels[place], "confidence": float(row_K[place])} for place in order]
            replies.append({**top[0], "top": top})
        return replies


TASK = ImageClassification()
