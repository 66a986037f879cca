"""tabular_classification: one label per row of a table.

Shapes: B rows of a batch, N rows of a split, K classes, W numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lichen.core.dataset import Dataset
from lichen.data import encoder
from lichen.engine.inputs import images
from lichen.engine.scores.classes import Classification


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularClassification(Classification):
    """The task of telling the class of a row by its other cells."""

    name: str = "tabular_classification"
    headline: str = "accuracy"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("features", "label")

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
        images.refuse_sizes("rows of a table", image_size, normaliser)
        told = encoder.fitted(data.rows("train"))
        return {"labels": data.labels, "encoder": told.asset(), "observation_shape": [told.width]}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """float32 (B, W) as the encoder gives it."""
        return batch.float()


TASK = TabularClassification()
