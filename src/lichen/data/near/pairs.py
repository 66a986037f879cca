"""pairs: what comparing two splits finds.

Shapes: K pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Rows of two sets that are alike: `left` and `right` int64 (K,), their `distance` float32 (K,)."""

    left: np.ndarray
    right: np.ndarray
    distance: np.ndarray

    def take(self, chosen: np.ndarray) -> Pairs:
        return Pairs(self.left[chosen], self.right[chosen], self.distance[chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likeness:
    """Pairs of one sort, and how a person is told of them: `3 test rows have near duplicates in train`."""

    one: str
    many: str
    pairs: Pairs


def near_duplicates(pairs: Pairs) -> Likeness:
    return Likeness(one="row has a near duplicate in", many="rows have near duplicates in", pairs=pairs)
