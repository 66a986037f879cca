"""multi_label_classification: every label that a picture has, which may be none or several.

Each label is asked for by itself: its output is the log odds that the picture has it.
Shapes: B rows of a batch, N rows of a split, K labels.
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
from lichen.core.errors import DataError
from lichen.engine.inputs import images
from lichen.engine.inputs.images import Pictures
from lichen.engine.scores import divergence, several

PROBABILITIES_UP_TO = 2_000_000
"""Scores keep the whole table of probabilities up to this many numbers."""
SHOWN = 5
"""Labels per answer, likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabelClassification(Pictures):
    """The task of naming everything that a picture shows."""

    name: str = "multi_label_classification"
    headline: str = "sample_f1"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("image", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, no labels, rows of one class each, no rows.
        """
        images.check(data, split, self.columns, are_several=True)
        if split == "train" and not data.rows(split).targets.any():
            raise DataError("no train row has any label", where=data.root)

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p (B,) of all labels of a row, taken as independent: binary cross entropies summed over K."""
        return functional.binary_cross_entropy_with_logits(
            outputs.float(), targets.float(), reduction="none"
        ).sum(1)

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """The loss per row (B,) against even odds of every label."""
        return self.loss(outputs, torch.full_like(outputs, 0.5))

    def apart(self, outputs: Tensor, taught: Tensor, assets: Mapping[str, Any], temperature: float) -> Tensor:
        """The divergence (B,) of softened chances of every label from a teacher's."""
        return divergence.of_marks(outputs, taught, temperature)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        return {"sample_f1": float(several.sample_f1(outputs > 0, targets).mean()),
                "log_loss": float(_losses(outputs, targets).mean())}  # fmt: skip

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals and per-row answers of outputs (N, K).

        `confidence` is that of all labels of a row together.
        """
        probabilities_NK, losses_N = _sigmoid(outputs), _losses(outputs, targets)
        answer_NK = probabilities_NK > 0.5
        sure_NK = np.maximum(probabilities_NK, 1.0 - probabilities_NK)
        answers = {
            "truth": targets.astype(np.uint8),
            "answer": answer_NK.astype(np.uint8),
            "confidence": np.exp(np.log(sure_NK).sum(1)).astype(np.float32),
            "outcome": several.sample_f1(answer_NK, targets).astype(np.float32),
            "loss": losses_N.astype(np.float32),
        }
        if probabilities_NK.size <= PROBABILITIES_UP_TO:
            answers["probabilities"] = probabilities_NK.astype(np.float16)
        figures = several.figures(probabilities_NK, losses_N, targets)
        return figures, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row its labels, and the likeliest ones with the probability of each."""
        names, replies = images.labels_of(outputs, assets), []
        for row_K in _sigmoid(outputs):
            order = np.argsort(-row_K, kind="stable")
            found = [names[place] for place in order if row_K[place] > 0.5]
            top = [{"label": names[place], "confidence": float(row_K[place])} for place in order[:SHOWN]]
            sure = float(np.prod(np.maximum(row_K, 1.0 - row_K)))
            replies.append({"label": ", ".join(found), "confidence": sure, "labels": found, "top": top})
        return replies


def _sigmoid(outputs: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * outputs.astype(np.float64)))  # neither side overflows


def _losses(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """float64 (N,): log(1 + e^z) - y z, summed over labels."""
    wide_NK = outputs.astype(np.float64)
    return (np.logaddexp(0.0, wide_NK) - targets * wide_NK).sum(1)


TASK = MultiLabelClassification()
