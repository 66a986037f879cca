"""text_classification: one label per text.

Shapes: B rows of a batch, N rows of a split, K classes, T numbers of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lichen.core.dataset import Dataset
from lichen.engine.inputs import images, texts
from lichen.engine.scores.classes import Classification


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassification(Classification):
    """The task of saying what kind of text one is."""

    name: str = "text_classification"
    headline: str = "accuracy"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("text", "label")

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """`labels`; the tokenizer comes from elsewhere.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        images.refuse_sizes("texts", image_size, normaliser)
        return {"labels": data.labels}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """int32 (B, T) cut to the longest text of the batch."""
        return texts.cut(batch)


TASK = TextClassification()
