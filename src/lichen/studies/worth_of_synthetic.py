"""worth_of_synthetic: train with and without synthetic rows, and take them only when they win on real rows.

The training behind a model is repeated on the real rows, plain and augmented, and on real and synthetic rows
together, plain and augmented. Extra rows are also extra steps, so training on the real rows is repeated a
second time for as many rows in all. Synthetic rows win when one of their arms beats every arm without them:
each pair has an interval over validation rows and seeds, at a level that allows for their having two tries.
A mean over arms would let them win by being compared with a weak one.

Shapes: S seeds, N rows of validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.schema import Count, Level, Table
from lichen.core.session import current
from lichen.core.value import Value
from lichen.engine.scores import intervals
from lichen.engine.search.trial import Plan, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to train, for `epochs` in all, and the headline on validation, averaged over seeds."""

    name: str
    is_synthetic: bool
    num_rows: int
    epochs: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What synthetic rows were worth against the best that real rows can do without them.

    `worth`, `low` and `high` compare the better arm with synthetic rows to the arm that it beats least.
    """

    metric: str
    arms: tuple[Arm, ...]
    best: str
    rival: str
    worth: float
    low: float
    high: float
    level: float
    num_rows: int
    num_seeds: int
    num_synthetic: int
    data: Dataset
    """What to train on: with the synthetic rows where they are accepted, else the real data as they were."""

    @property
    def is_accepted(self) -> bool:
        return self.low > 0

    @property
    def says_no(self) -> bool:
        return not self.is_accepted

    @property
    def verdict(self) -> str:
        return "accepted" if self.is_accepted else "harms" if self.high < 0 else "no measurable effect"

    def as_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("arms", "data")}
        arms = [asdict(arm) for arm in self.arms]
        return {**plain, "arms": arms, "verdict": self.verdict, "data": self.data.digest}

    def __str__(self) -> str:
        lines = [
            f"  {arm.value:.4f}  {arm.name}, {arm.num_rows} rows, {arm.epochs} epochs" for arm in self.arms
        ]
        said = "are used" if self.is_accepted else "are not used: the real data are returned"
        return "\n".join([
            f"{self.metric} on {self.num_rows} real rows of validation, {self.num_seeds} seeds",
            *lines,
            f"{self.best} against {self.rival}: {self.worth:+.4f} [{self.low:+.4f}, {self.high:+.4f}] "
            f"at {self.level:.0%}: {self.verdict}; the {self.num_synthetic} synthetic rows {said}",
            f"data {self.data.digest[:10]}",
        ])  # fmt: skip


def worth_of_synthetic(
    value: Value,
    synthetic: Value | None = None,
    *,
    ops: Annotated[list, Table("lichen.data.augment:OPERATIONS")] | None = None,
    seeds: Count = 5,
    level: Level = 0.95,
) -> Worth:
    """Says whether synthetic rows make a training better than real rows and classical augmentation do.

    Args:
        value: a Model or Program whose life trained on data; all from that training on is repeated.
        synthetic: Dataset of synthetic rows, or the data that some were added to; None: the life added them.
        ops: the classical augmentation; None: the life's own policy, or small moves of pictures where it has
            none; of a table as many rows between real ones (augment.smote) as there are synthetic ones.
        seeds: master seeds of the trainings; the generator stays as it is.
        level: of the interval.

    Raises:
        UsageError: there is no training to repeat, or there are no synthetic rows.
        LeakError: rows to be judged by stand in what the synthetic rows were learnt from.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is no training to repeat")
    trial = Trial(value.made, synthetic, ops, current())
    arms = trial.arms()
    outcomes = {arm: np.stack([trial.outcome(arm, seed) for seed in range(seeds)]) for arm in arms}
    best, rival, worth, low, high = _best(outcomes, trial.sign, level)
    return Worth(
        metric=trial.metric, best=best.name, rival=rival.name, worth=worth, low=low, high=high, level=level,
        num_rows=trial.num_judged, num_seeds=seeds, num_synthetic=trial.mixed.num_synthetic,
        data=trial.mixed if low > 0 else trial.real,
        arms=tuple(Arm(name=arm.name, is_synthetic=arm.is_synthetic, epochs=sum(arm.epochs),
                       num_rows=trial.data_of(arm).num_rows("train"), value=float(outcome_SN.mean()))
                   for arm, outcome_SN in outcomes.items()),
    )  # fmt: skip


def _best(
    outcomes: Mapping[Plan, np.ndarray], sign: float, level: float
) -> tuple[Plan, Plan, float, float, float]:
    """The arm with synthetic rows whose least win is greatest, its rival, and the interval between them."""
    ours = [arm for arm in outcomes if arm.is_synthetic]
    shared = 1.0 - (1.0 - level) / len(ours)  # Bonferroni's: either of them may win by chance
    found = []
    for arm in ours:
        pairs = [(*intervals.of(sign * (outcomes[arm] - outcomes[other]), shared), other)
                 for other in outcomes if not other.is_synthetic]  # fmt: skip
        worth, low, high, rival = min(pairs, key=lambda pair: pair[1])
        found.append((arm, rival, worth, low, high))
    return max(found, key=lambda pair: pair[3])
