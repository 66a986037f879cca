"""memorization: are made rows nearer to what a generator learnt from than to other rows of the same sort?

Of each made row it is asked whether the nearest real row is a train row or a held-back one. Where nothing is
copied, either is as likely as there are rows of it, however good or narrow the generator is; of a copy it is
a train row. The area is the probability of a train row, had there been as many of both: .5 where nothing is
copied, and (1 + p) / 2 of a share p of copies. With N train and H held-back rows it is 1 - q (N + H) / (2 H)
of the share q of made rows that are nearest to a held-back one.

Paper: Meehan, Chaudhuri and Dasgupta 2020, section 3. Departs from it: ways to train rows are compared with
ways to held-back rows from the same made row, so that a generator of typical rows is not taken for a copier.

Shapes: N train rows, H held-back rows, M made rows, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.engine.generation import neighbours
from lichen.engine.scores import metrics
from lichen.engine.scores.metrics import Figure

COPIED = 0.1
"""The share of copies that is let pass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """How near made rows are to train rows.

    Args:
        area: with its interval.
        nearest: int64 (M,): the nearest train row of each.
    """

    area: Figure
    nearest: np.ndarray

    @property
    def is_flagged(self) -> bool:
        """Whether surely more than COPIED of the rows are copies."""
        return self.area["low"] > 0.5 + COPIED / 2


def asked(train_NF: np.ndarray, held_HF: np.ndarray, made_MF: np.ndarray) -> Memory:
    """Compares made rows with train rows and held-back ones; the more of the latter, the surer."""
    train_M, to_train_M = neighbours.nearest(made_MF, train_NF)
    held_M, to_held_M = neighbours.nearest(made_MF, held_HF)
    real_M = np.where(to_held_M < to_train_M, len(train_NF) + held_M, train_M)
    count = effective(real_M)
    found = metrics.proportion(nearer(to_held_M, to_train_M) * count, count)
    by_chance = len(held_HF) / (len(train_NF) + len(held_HF))
    ends = {"value": found["value"], "low": found["high"], "high": found["low"]}
    area = {name: max(0.0, 1.0 - share / (2.0 * by_chance)) for name, share in ends.items()}
    return Memory(area={**area, "level": metrics.LEVEL}, nearest=train_M)


def nearer(way_M: np.ndarray, other_M: np.ndarray) -> float:
    """The share of rows whose first way is the shorter one; ties count half."""
    return float(((way_M < other_M) + 0.5 * (way_M == other_M)).mean())


def effective(real_M: np.ndarray) -> float:
    """How many made rows tell something of their own: those near one real row say the same (Kish 1965)."""
    counts = np.bincount(np.unique(real_M, return_inverse=True)[1])
    return float(counts.sum() ** 2 / (counts**2).sum())
