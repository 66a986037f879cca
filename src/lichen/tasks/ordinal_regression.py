"""ordinal_regression: one label per picture, of labels in order: how far off an answer is counts.

Output k is the log odds that a picture which is at least of label k is above it. The probabilities of being
above each label are their products, so they never cross, and any head will do.
Paper: Shi, Cao and Raschka 2021, "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On
Conditional Probabilities" (CORN), sections 3.3 and 3.4.

Shapes: B rows of a batch, N rows of a split, K labels, T = K - 1 outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.engine.inputs import images
from lichen.engine.inputs.images import Pictures
from lichen.engine.scores import divergence, metrics

SHOWN = 5
"""Labels per answer, likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdinalRegression(Pictures):
    """The task of placing a picture on a scale; the labels stand in its order."""

    name: str = "ordinal_regression"
    headline: str = "mean_absolute_error"
    higher_is_better: bool = False
    columns: tuple[str, ...] = ("image", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two labels, a target that is none, no rows.
        """
        images.check(data, split, self.columns)
        images.check_classes(data, split)

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels) - 1

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p per row (B,): output k is asked only of rows that are at least of label k.

        Args:
            targets: labels (B,), or shares of them (B, K).
        """
        z_BT = outputs.float()
        labels = z_BT.shape[1] + 1
        shares_BK = targets.float() if targets.ndim == 2 else functional.one_hot(targets, labels).float()
        at_least_BK = shares_BK.flip(1).cumsum(1).flip(1)
        reached_BT, passed_BT = at_least_BK[:, :-1], at_least_BK[:, 1:]
        stayed_BT = reached_BT - passed_BT
        return -(passed_BT * functional.logsigmoid(z_BT) + stayed_BT * functional.logsigmoid(-z_BT)).sum(1)

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """The loss per row (B,) against all labels alike."""
        labels = outputs.shape[1] + 1
        return self.loss(outputs, outputs.new_full((len(outputs), labels), 1.0 / labels))

    def apart(self, outputs: Tensor, taught: Tensor, assets: Mapping[str, Any], temperature: float) -> Tensor:
        """The divergence (B,) of softened chances of the labels from a teacher's."""
        return divergence.of_ranks(outputs, taught, temperature)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        answer_N, _ = _answers(outputs)
        return {"mean_absolute_error": float(np.abs(answer_N - targets).mean()),
                "accuracy": float((answer_N == targets).mean()),
                "log_loss": float(_losses(outputs, targets).mean())}  # fmt: skip

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals and per-row answers of outputs (N, T)."""
        answer_N, p_NK = _answers(outputs)
        losses_N, off_N = _losses(outputs, targets), np.abs(answer_N - targets)
        sure_N = p_NK[np.arange(len(answer_N)), answer_N]
        right_N = answer_N == targets
        figures = {
            "mean_absolute_error": metrics.positive_mean(off_N.astype(np.float64)),
            "accuracy": metrics.proportion(int(right_N.sum()), len(right_N)),
            "weighted_kappa": metrics.weighted_kappa(targets, answer_N),
            "log_loss": metrics.positive_mean(losses_N),
            "calibration_error": metrics.calibration_error(sure_N, right_N),
        }
        answers = {
            "truth": targets.astype(np.int32),
            "answer": answer_N.astype(np.int32),
            "confidence": sure_N.astype(np.float32),
            "outcome": off_N.astype(np.float32),
            "loss": losses_N.astype(np.float32),
        }
        return figures, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row the label in the middle, its probability, and the likeliest labels with theirs."""
        labels, replies = images.labels_of(outputs, assets, fewer=1), []
        for answer, row_K in zip(*_answers(outputs), strict=True):
            order = np.argsort(-row_K, kind="stable")[:SHOWN]
            top = [{"label": labels[place], "confidence": float(row_K[place])} for place in order]
            replies.append({"label": labels[answer], "confidence": float(row_K[answer]), "top": top})
        return replies


def _answers(outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 (N,): the last label that is reached more often than not; float64 (N, K): p of each label."""
    odds_NT = 0.5 * (1.0 + np.tanh(0.5 * outputs.astype(np.float64)))
    above_NT = np.cumprod(odds_NT, 1)
    edges_N = np.ones((len(above_NT), 1))
    p_NK = -np.diff(np.concatenate([edges_N, above_NT, 0.0 * edges_N], 1), axis=1)
    return (above_NT > 0.5).sum(1), p_NK


def _losses(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """float64 (N,): -log p of the label, from log odds that may be far from even."""
    z_NT, places_T = outputs.astype(np.float64), np.arange(outputs.shape[1])
    is_passed_NT, is_last_NT = places_T < targets[:, None], places_T == targets[:, None]
    return (is_passed_NT * np.logaddexp(0.0, -z_NT) + is_last_NT * np.logaddexp(0.0, z_NT)).sum(1)


TASK = OrdinalRegression()
