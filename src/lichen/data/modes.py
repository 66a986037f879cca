"""modes: a column of numbers as the mode that each lies in and its place there; the way back is told too.

Paper: Xu et al. 2019, "Modeling Tabular Data using Conditional GAN" (CTGAN), section 4.2.
Departs from it: a number goes to its likeliest mode, not to one that is drawn; an empty cell is a mode.

Shapes: N rows, M modes, W numbers of a row.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lichen.core.errors import missing_package
from lichen.data.tabular import Cell, numbers

MOST = 10
"""Modes of a column. SHARE: of the rows that one has at least; both are the paper's."""
SHARE = 0.005
REACH = 4.0
"""Deviations of its mode that a number lies within."""
MOST_ROWS = 10_000
"""Rows that modes are fitted to."""


class Span(NamedTuple):
    """Numbers that belong together: a `place` in -1 to 1, or marks of a `choice`."""

    kind: str
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """A column of numbers by modes (M,), least first."""

    name: str
    shares: list[float]
    means: list[float]
    stds: list[float]
    has_empty: bool
    is_whole: bool
    low: float
    high: float
    kind: str = "modes"

    @property
    def width(self) -> int:
        return 1 + len(self.means) + self.has_empty

    @property
    def spans(self) -> list[Span]:
        """What the numbers are, as a net that makes rows must know."""
        return [Span("place", 1), Span("choice", self.width - 1)]

    def encode(self, cells: Sequence[Cell]) -> np.ndarray:
        """float32 (N, W): the place in the mode, then a mark for each mode and for empty."""
        numbers_N = numbers(cells, self.name)
        is_empty_N = np.isnan(numbers_N)
        off_NM = (np.where(is_empty_N, 0.0, numbers_N)[:, None] - np.array(self.means)) / np.array(self.stds)
        likely_NM = np.log(self.shares) - np.log(self.stds) - 0.5 * off_NM**2
        mode_N = likely_NM.argmax(1)
        place_N = np.clip(off_NM[np.arange(len(mode_N)), mode_N] / REACH, -1.0, 1.0)
        chosen_N = np.where(is_empty_N, len(self.means), mode_N)
        marks = chosen_N[:, None] == np.arange(self.width - 1)
        return np.concatenate([np.where(is_empty_N, 0.0, place_N)[:, None], marks], 1).astype(np.float32)

    def decode(self, x_NW: np.ndarray) -> list[Cell]:
        """The number at the place in the likeliest mode, no further out than train rows are."""
        mode_N = x_NW[:, 1:].argmax(1)
        known_N = np.minimum(mode_N, len(self.means) - 1)
        numbers_N = np.array(self.means)[known_N] + REACH * x_NW[:, 0] * np.array(self.stds)[known_N]
        numbers_N = np.clip(numbers_N, self.low, self.high)
        told = np.rint(numbers_N).astype(int).tolist() if self.is_whole else numbers_N.tolist()
        return [None if mode == len(self.means) else number for mode, number in zip(mode_N.tolist(), told)]


def fitted(name: str, cells: Sequence[Cell]) -> Modes:
    """The modes of a column: a mixture of normals that takes as many as it needs."""
    try:
        from sklearn.mixture import BayesianGaussianMixture
    except ImportError:
        raise missing_package("scikit-learn", "vision") from None
    numbers_N = numbers(cells, name)
    known_N = numbers_N[~np.isnan(numbers_N)]
    some_N = known_N[:: -(-len(known_N) // MOST_ROWS)]
    mean, std = float(some_N.mean()), max(float(some_N.std()), 1e-12)
    count = min(MOST, len(np.unique(some_N)))
    mixture = BayesianGaussianMixture(n_components=count, weight_concentration_prior=1e-3, max_iter=100,
                                      random_state=0)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that has not settled serves as well
        mixture.fit((some_N[:, None] - mean) / std)
    kept = np.flatnonzero(mixture.weights_ > SHARE)
    kept = kept[np.argsort(mixture.means_[kept, 0], kind="stable")]
    stds = np.sqrt(mixture.covariances_[kept, 0, 0]) * std
    means = (mixture.means_[kept, 0] * std + mean).tolist()
    return Modes(
        name=name, shares=mixture.weights_[kept].tolist(), means=means, stds=stds.tolist(),
        has_empty=len(known_N) < len(numbers_N), is_whole=bool((known_N == np.rint(known_N)).all()),
        low=float(known_N.min()), high=float(known_N.max()),
    )  # fmt: skip
