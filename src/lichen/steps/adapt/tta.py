"""tta: answer from several views of a picture and average: test-time augmentation, part of the model.

The views are an asset, so `evaluate`, `predict`, `serve` and every export honour them; a graph holds them
inside. They cost as many answers as there are views: `ablate` says what that is worth.
Paper: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.5.
"""

from __future__ import annotations

from typing import Literal

from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.step import step

SMALLEST = 2
"""Pixels of a side that can be reflected at its edge."""


@step(splits=())
def tta(model: Model, *, views: Literal["flip", "flip_shift"] = "flip_shift") -> Model:
    """Has a model answer from several views of each picture.

    Args:
        views: flip: the picture and its mirror image; flip_shift: also both moved by a pixel to two corners,
            six views. Not for pictures that mean something else mirrored, such as digits.

    Raises:
        UsageError: the model does not answer about pictures.
    """
    shape = model.assets.get("image_shape")
    if not shape or len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UsageError(
            f"views are of pictures of {SMALLEST}x{SMALLEST} pixels or more; this model takes "
            f"{'none' if not shape else 'x'.join(str(side) for side in shape[1:])}"
        )
    return model.with_weights(model.weights(), assets={**model.assets, "views": views})
