"""tabular_classification: one label per row of a table.

Shapes: B rows of a batch, N rows of a split, K classes, W numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import OptionError
from lichen.data import encoder
from lichen.engine import classes


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularClassification:
    """The task of telling the class of a row by its other cells."""

    name: str = "tabular_classification"
    headline: str = "accuracy"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("features", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two classes, a target that is no class, no rows.
        """
        classes.check(data, split, self.columns)

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels)

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """`labels`, and the `encoder` of the train rows with the shape of what it gives.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        if image_size is not None or normaliser is not None:
            raise OptionError("tables have neither image_size nor normaliser")
        told = encoder.fitted(data.rows("train"))
        return {"labels": data.labels, "encoder": told.asset(), "observation_shape": [told.width]}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """float32 (B, W) as the encoder gives it."""
        return batch.float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy per row (B,) of outputs (B, K)."""
        return classes.loss(outputs, targets)

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """Cross entropy per row (B,) against all classes alike."""
        return classes.blank_loss(outputs)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        return classes.figures(outputs, targets)

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals and per-row answers of outputs (N, K)."""
        return classes.score(outputs, targets)

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row the label, its confidence, and the likeliest labels with theirs."""
        return classes.reply(outputs, assets)


TASK = TabularClassification()
