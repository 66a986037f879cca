"""image_generation: pictures of a class, drawn from codes.

A generator is asked for one picture per real row, of that row's class. The headline is coverage: the share
of real rows near which a picture was made (Naeem et al. 2020, section 3), by the pixels alone; what a
classifier's features say of it, and much else, is told by `studies.fidelity`.

Shapes: B rows of a batch, N rows of a split, K numbers of a picture, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.data import png
from lichen.engine.generation import generating, neighbours
from lichen.engine.inputs import codes, images
from lichen.engine.scores import classes, metrics

NUM_CODES = 64
"""Numbers of a code where nobody says; those of `generate.gan`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeneration:
    """The task of making pictures that could be real rows."""

    name: str = "image_generation"
    headline: str = "coverage"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("image", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two classes, rows of several labels, no rows.
        """
        classes.check(data, split, self.columns)

    def num_outputs(self, data: Dataset) -> int:
        """Refuses: a generator learns against a discriminator, and from no row by itself.

        Raises:
            UsageError: always.
        """
        raise _not_from_rows()

    def assets(
        self, data: Dataset, image_size: int | None = None, *, normaliser: images.Normaliser | None = None
    ) -> dict[str, Any]:
        """`labels`, `made_shape` [C, H, W] of what is made, `num_codes`, and the shape of what is taken."""
        channels, height, width = data.rows("train").shape
        side = [height, width] if image_size is None else [image_size, image_size]
        return {"labels": data.labels, "made_shape": [channels, *side], "num_codes": NUM_CODES,
                "image_shape": [1, 1, 1 + NUM_CODES]}  # fmt: skip

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """uint8 (B, 1, 1, 1 + Z), as `engine/inputs/codes` lays them out -> what the net takes."""
        return codes.inputs(batch, len(assets["labels"]))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Refuses, as `num_outputs` does.

        Raises:
            UsageError: always.
        """
        raise _not_from_rows()

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The headline of numbers in -1 to 1 (N, K) beside real pixels (N, C, H, W)."""
        return {self.headline: float(_covered(outputs, targets)[0].mean())}

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Coverage with its interval; per real row whether it is covered, and which picture is nearest."""
        is_covered_N, nearest_N, apart_N = _covered(outputs, targets)
        answers = {
            "truth": np.arange(len(targets), dtype=np.int32),
            "answer": nearest_N.astype(np.int32),
            "outcome": is_covered_N.astype(np.float32),
        }
        figures = {
            self.headline: metrics.proportion(int(is_covered_N.sum()), len(is_covered_N)),
            "nearest_distance": metrics.positive_mean(apart_N),
        }
        return figures, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row a picture, as the data URI of a PNG file."""
        pixels = generating.to_pixels_of(outputs.reshape(-1, *assets["made_shape"]))
        return [{"picture": png.data_uri(one_CHW)} for one_CHW in pixels]


def _not_from_rows() -> UsageError:
    return UsageError("a generator is not trained on rows one by one", hint="generate.gan trains one")


def _covered(outputs_NK: np.ndarray, real_NCHW: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each real row whether a picture lies in its ball, which one is nearest, and how far, from 0 to 1."""
    flat_NK = real_NCHW.reshape(len(real_NCHW), -1) / np.float32(255)
    made_NK = (outputs_NK.reshape(len(outputs_NK), -1) + 1) / 2
    nearest_N, apart_N = neighbours.nearest(flat_NK, made_NK)
    k = min(neighbours.NEAREST, len(flat_NK) - 1)
    return apart_N <= neighbours.reach(flat_NK, flat_NK, k), nearest_N, apart_N / flat_NK.shape[1] ** 0.5


TASK = ImageGeneration()
