"""sieve: which made pictures are what they should be, and neither copies of real ones nor far from all.

Distances are those of a classifier's features, in units of the usual way from a real row to its nearest real
neighbour; without a classifier they are those of pixels. Where most real rows stand there twice, as in tables
of levels, that way is 0 and a row like a real one is no copy; what is far is then told by the way to the
nearest row that differs.
Paper: for filtering by confidence, Ravuri and Vinyals 2019 (CAS), section 5.

Shapes: M made rows, N real ones, F features, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.core.model import Model
from lichen.engine import answer
from lichen.engine.generation import fidelity, neighbours
from lichen.engine.scores import metrics

MOST_ROWS = 2000
"""Real rows whose nearest neighbours tell the usual way."""
ROUNDING = 1e-6
"""The share of the longest row's length that equal rows may seem apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """What passes: `confidence` of the classifier in the class at least, and a distance between two ends."""

    confidence: float
    nearest: float
    farthest: float | None


class Sieve:
    """Made pictures by what a classifier and the real rows say of them."""

    def __init__(
        self, classifier: Model | None, real_NCHW: np.ndarray, mesh: Mesh, *, device: str = "cpu"
    ) -> None:
        self.classifier, self.mesh, self.device = classifier, mesh, device
        self.real_NF = self.features(real_NCHW)
        some_NF = self.real_NF[:: -(-len(self.real_NF) // MOST_ROWS)]
        self.usual = float(np.median(neighbours.reach(some_NF, self.real_NF, 1)))
        self.apart = self.usual
        least = ROUNDING * float(np.linalg.norm(self.real_NF, axis=1).max())
        if self.usual <= least:
            self.usual, self.apart = 0.0, _apart(self.real_NF, least)
        self.dropped = {"not told as their class": 0, "copies of real rows": 0, "far from all real rows": 0}

    def features(self, pixels_MCHW: np.ndarray) -> np.ndarray:
        """float32 (M, F); rows of a table as they are, for they are numbers already."""
        if self.classifier is None or pixels_MCHW.ndim == 2:
            return pixels_MCHW.reshape(len(pixels_MCHW), -1).astype(np.float32)
        return fidelity.features(self.classifier, pixels_MCHW, device=self.device)

    def passes(self, pixels_MCHW: np.ndarray, targets_M: np.ndarray) -> np.ndarray:
        """bool (M,); counts in `dropped` what does not, under its first fault."""
        _, apart_M = neighbours.nearest(self.features(pixels_MCHW), self.real_NF)
        far = np.inf if self.mesh.farthest is None else self.mesh.farthest
        faults = (
            self._confidence(pixels_MCHW, targets_M) < self.mesh.confidence,
            apart_M < self.mesh.nearest * self.usual,
            apart_M > far * self.apart,
        )
        is_left_M = np.ones(len(targets_M), bool)
        for name, is_fault_M in zip(self.dropped, faults, strict=True):
            self.dropped[name] += int((is_left_M & is_fault_M).sum())
            is_left_M &= ~is_fault_M
        return is_left_M

    def _confidence(self, pixels_MCHW: np.ndarray, targets_M: np.ndarray) -> np.ndarray:
        """float64 (M,): the probability of the class that each was drawn as."""
        if self.classifier is None:
            return np.ones(len(targets_M))
        probabilities_MK = metrics.softmax(answer.logits(self.classifier, pixels_MCHW, device=self.device))
        return probabilities_MK[np.arange(len(targets_M)), targets_M]


def _apart(real_NF: np.ndarray, least: float) -> float:
    """The usual way from a real row to the nearest that differs; where none does, nothing is far."""
    differ_NF = np.unique(real_NF, axis=0)
    if len(differ_NF) < 2:
        return np.inf
    way_N = neighbours.reach(differ_NF[:: -(-len(differ_NF) // MOST_ROWS)], differ_NF, 1)
    return float(np.median(way_N[way_N > least])) if (way_N > least).any() else np.inf
