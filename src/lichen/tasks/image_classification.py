"""image_classification: one label per picture.

Shapes: B rows of a batch, N rows of a split, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from lichen.engine.inputs.images import Pictures
from lichen.engine.scores.classes import Classification


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageClassification(Classification, Pictures):
    """The task of naming what a picture shows."""

    name: str = "image_classification"
    headline: str = "accuracy"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("image", "label")


TASK = ImageClassification()
