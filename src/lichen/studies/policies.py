"""policies: find the augmentation that a training gains most from, and say whether it gains at all.

The training behind a model is replayed with other `ops`. Halving gives many policies a few epochs, keeps the
best third, gives those three times as many, and so on; random gives the whole training to as many as the same
epochs allow. Policies are chosen on one half of the validation rows; the best is judged against none on the
other half, over other seeds, so that the choice does not flatter itself.
Paper: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification", section 3 (successive halving).

Shapes: S seeds, N rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.schema import Count, Level, Seed
from lichen.core.scoring import data_of
from lichen.core.session import current
from lichen.core.value import Value
from lichen.data import actions
from lichen.engine.scores import intervals
from lichen.engine.search.hunt import Hunt, Ops

SHARE = 3
"""Of the policies of a rung one in so many goes on, with so many times the epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A policy, the epochs that it was given, and the headline on the rows that choose."""

    ops: Ops
    epochs: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What was tried, the best, and what it is worth.

    `verdict` is "helps", "harms" or "no measurable effect" at the stated level.
    """

    metric: str
    search: str
    trials: tuple[Trial, ...]
    best: Ops
    with_best: float
    with_none: float
    worth: float
    low: float
    high: float
    level: float
    verdict: str
    num_rows: int
    num_seeds: int
    model: Value
    """Trained with the best, with the recorded seeds."""
    higher_is_better: bool = True

    @property
    def ops(self) -> Ops:
        """What to train with: the best where it helps, else nothing."""
        return self.best if self.verdict == "helps" else []

    def as_json(self) -> dict[str, Any]:
        trials = [asdict(trial) for trial in self.trials]
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("model", "trials")}
        return {**plain, "ops": self.ops, "trials": trials, "model": self.model.digest}

    def __str__(self) -> str:
        lines = [f"{len(self.trials)} trials by {self.search} search; the best of those with most epochs:"]
        most = max(trial.epochs for trial in self.trials)
        sign = -1 if self.higher_is_better else 1
        last = sorted((one for one in self.trials if one.epochs == most), key=lambda one: sign * one.value)
        lines += [f"  {one.value:.4f}  {words(one.ops)}" for one in last[:5]]
        return "\n".join([
            *lines,
            f"{words(self.best)}: {self.metric} {self.with_best:.4f}, without augmentation "
            f"{self.with_none:.4f}, on {self.num_rows} other rows of validation, {self.num_seeds} seeds",
            f"worth {self.worth:+.4f} [{self.low:+.4f}, {self.high:+.4f}] at {self.level:.0%}: "
            f"{self.verdict}",
            f"model {self.model.digest[:10]}",
        ])  # fmt: skip


def words(ops: Ops) -> str:
    """A policy as a recipe writes it."""
    return "[" + ", ".join(f"{op}: {strength:g}" for pair in ops for op, strength in pair.items()) + "]"


def policies(
    value: Value,
    data: Value | None = None,
    *,
    search: Literal["halving", "random"] = "halving",
    trials: Count = 18,
    seeds: Count = 3,
    level: Level = 0.95,
    seed: Seed = 0,
) -> Policies:
    """Searches the augmentation of the training behind a value.

    Args:
        value: a Model or Program whose life has an `augment.policy` and, after it, a step with epochs.
        data: what to score on (its validation split); the last Dataset of the life when None.
        trials: policies that halving starts with; random search spends the same epochs.
        seeds: master seeds of the verdict; policies are tried by another one.
        level: of the interval.
        seed: of the policies drawn.

    Raises:
        UsageError: the life has no policy or no training, or validation has too few rows to be halved.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is no training to replay")
    session = current()
    found = data_of(value, data, session)
    assert isinstance(found, Dataset)
    hunt = Hunt(value.made, found, session)
    rungs = rungs_of(trials, hunt.epochs)
    candidates = actions.drawn(trials, seed)
    tried = _halved(hunt, candidates, rungs) if search == "halving" else _random(hunt, candidates, rungs)
    whole = [trial for trial in tried if trial.epochs == hunt.epochs]
    best = max(whole, key=lambda trial: hunt.sign * trial.value).ops
    return _judged(hunt, best, tuple(tried), search, seeds, level)


def rungs_of(trials: int, epochs: int) -> list[tuple[int, int]]:
    """(policies, epochs of each) from the first rung to the last, which has all epochs."""
    count = max(1, math.floor(math.log(trials, SHARE) + 1e-9))
    depth = min(count, 1 + math.floor(math.log(epochs, SHARE) + 1e-9))
    return [
        (max(1, trials // SHARE**rung), max(1, epochs // SHARE ** (depth - 1 - rung)))
        for rung in range(depth)
    ]


def _halved(hunt: Hunt, candidates: list[Ops], rungs: list[tuple[int, int]]) -> list[Trial]:
    tried: list[Trial] = []
    for number, epochs in rungs:
        rung = [_trial(hunt, ops, epochs) for ops in candidates[:number]]
        tried += rung
        candidates = [trial.ops for trial in sorted(rung, key=lambda trial: -hunt.sign * trial.value)]
    return tried


def _random(hunt: Hunt, candidates: list[Ops], rungs: list[tuple[int, int]]) -> list[Trial]:
    budget = sum(number * epochs for number, epochs in rungs)
    return [_trial(hunt, ops, hunt.epochs) for ops in candidates[: max(1, budget // hunt.epochs)]]


def _trial(hunt: Hunt, ops: Ops, epochs: int) -> Trial:
    return Trial(ops=ops, epochs=epochs, value=hunt.chosen(ops, epochs))


def _judged(
    hunt: Hunt, best: Ops, tried: tuple[Trial, ...], search: str, seeds: int, level: float
) -> Policies:
    with_SN, without_SN = (np.stack([hunt.judged(ops, seed) for seed in range(seeds)]) for ops in (best, []))
    worth, low, high = intervals.of(hunt.sign * (with_SN - without_SN), level)
    return Policies(
        metric=hunt.metric, search=search, trials=tried, best=best, with_best=float(with_SN.mean()),
        with_none=float(without_SN.mean()), worth=worth, low=low, high=high, level=level,
        verdict="helps" if low > 0 else "harms" if high < 0 else "no measurable effect",
        num_rows=with_SN.shape[1], num_seeds=seeds, model=hunt.trained(best, hunt.epochs, 0),
        higher_is_better=hunt.sign > 0,
    )  # fmt: skip
