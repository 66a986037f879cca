"""tabular_generation: rows of a table of a class, drawn from codes.

A generator is asked for one row per real row, of that row's class. The headline is coverage: the share of
real rows near which a row was made (Naeem et al. 2020, section 3), by the numbers of its encoder.

Shapes: B rows of a batch, N rows of a split, W numbers of a row.
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
from lichen.data import encoder
from lichen.engine.generation import neighbours
from lichen.engine.inputs import codes, images
from lichen.engine.scores import classes, metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularGeneration:
    """The task of making rows of a table that could be real ones."""

    name: str = "tabular_generation"
    headline: str = "coverage"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("features", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two classes, a target that is no class, no rows.
        """
        classes.check(data, split, self.columns)

    def num_outputs(self, data: Dataset) -> int:
        """Refuses: a generator learns against a critic, and from no row by itself.

        Raises:
            UsageError: always.
        """
        raise _not_from_rows()

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """`labels`, and the `encoder` of the train rows that knows the way back.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        images.refuse_sizes("rows of a table", image_size, normaliser)
        told = encoder.fitted(data.rows("train"), is_way_back=True)
        return {"labels": data.labels, "encoder": told.asset()}

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
        """The headline of made rows beside real ones (N, W)."""
        return {self.headline: float(_covered(outputs, targets)[0].mean())}

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Coverage with its interval; per real row whether it is covered, and which made row is nearest."""
        is_covered_N, nearest_N = _covered(outputs, targets)
        answers = {
            "truth": np.arange(len(targets), dtype=np.int32),
            "answer": nearest_N.astype(np.int32),
            "outcome": is_covered_N.astype(np.float32),
        }
        figures = {self.headline: metrics.proportion(int(is_covered_N.sum()), len(is_covered_N))}
        return figures, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row its cells by column."""
        return [{"row": dict(record)} for record in encoder.of(assets["encoder"]).decode(outputs)]


def _not_from_rows() -> UsageError:
    return UsageError("a generator is not trained on rows one by one", hint="generate.ctgan trains one")


def _covered(made_NW: np.ndarray, real_NW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each real row whether a made one lies in its ball, and which one is nearest."""
    nearest_N, apart_N = neighbours.nearest(real_NW, made_NW)
    k = min(neighbours.NEAREST, len(real_NW) - 1)
    return apart_N <= neighbours.reach(real_NW, real_NW, k), nearest_N


TASK = TabularGeneration()
