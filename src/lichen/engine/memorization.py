"""memorization: are made rows nearer to what a generator learnt from than to other rows of the same sort?

Of each made row the way to the nearest train row is set against the way to the nearest of as many rows that
were held back. The area under the curve is the probability that a way of the first kind is the shorter one:
.5 where nothing is copied, however good or narrow the generator is; a share p of copies makes it (1 + p) / 2.
Paper: Meehan, Chaudhuri and Dasgupta 2020, section 3. Departs from it: ways to train rows are compared with
ways to held-back rows from the same made row, so that a generator of typical rows is not taken for a copier.

Shapes: N train rows, H held-back rows, M made rows, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.engine import fidelity, neighbours
from lichen.engine.metrics import Figure

COPIED = 0.1
"""The share of copies that is let pass."""
MOST_ROWS = 4000
"""Real rows of each side that are compared."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """How near made rows are to train rows.

    Args:
        auc: with its interval.
        nearest: int64 (M,): the nearest train row of each.
        ratio: (M,): the way to it as a share of that to the nearest held-back row; of a copy about 0.
    """

    auc: Figure
    nearest: np.ndarray
    ratio: np.ndarray

    @property
    def is_flagged(self) -> bool:
        """Whether surely more than COPIED of the rows are copies."""
        return self.auc["low"] > 0.5 + COPIED / 2


def asked(train_NF: np.ndarray, held_HF: np.ndarray, made_MF: np.ndarray) -> Memory:
    """Compares made rows with train rows and held-back ones; of the larger set as many as of the smaller."""
    count = min(len(train_NF), len(held_HF), MOST_ROWS)
    to_train, to_held = (neighbours.distances(made_MF, rows[_spread(len(rows), count)])
                         for rows in (train_NF, held_HF))  # fmt: skip

    def measured(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
        # Both sets lose rows, too: made rows that all lie near one real row know little together.
        place = np.ix_(made, real)
        return {"auc": auc(to_train[place].min(1), to_held[place].min(1))}

    rows, to_any_M = neighbours.nearest(made_MF, train_NF)
    return Memory(
        auc=fidelity.jackknifed(measured, count, len(made_MF))["auc"],
        nearest=rows, ratio=to_any_M / np.maximum(to_held.min(1), 1e-12),
    )  # fmt: skip


def auc(near_N: np.ndarray, far_M: np.ndarray) -> float:
    """The probability that one of the first is smaller than one of the second; ties count half."""
    order = np.sort(far_M)
    more = len(order) - np.searchsorted(order, near_N, side="right")
    ties = np.searchsorted(order, near_N, side="right") - np.searchsorted(order, near_N, side="left")
    return float((more + 0.5 * ties).mean() / len(order))


def _spread(length: int, count: int) -> np.ndarray:
    """Places of `count` rows spread evenly over all."""
    return np.arange(count) * length // count
