"""ablate: what each step of a life was worth: replay without it, compare row by row, with an interval.

The worth of a step is the headline metric with it minus without it, paired over the rows of validation and
over master seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lichen.core import step
from lichen.core.errors import UsageError
from lichen.core.lineage import Call, Made
from lichen.core.replay import replay, stand_in
from lichen.core.schema import Count, Level
from lichen.core.scoring import Judge, Scored, data_of
from lichen.core.session import Session, current
from lichen.core.value import Value
from lichen.engine.scores import intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One step's worth in the headline metric (positive: it helped), and what it did to size.

    `verdict` is "helps", "harms" or "no measurable effect" at the stated level.
    """

    step: str
    call: str
    worth: float
    low: float
    high: float
    verdict: str
    parameters: tuple[int, int] | None = None
    """With and without the step."""
    size_bytes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """The worth of every removable step."""

    metric: str
    whole: float
    """The headline of the whole life, averaged over seeds."""
    num_rows: int
    num_seeds: int
    level: float
    rows: tuple[Worth, ...]
    kept: tuple[str, ...]
    """Steps that cannot be removed."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __getitem__(self, name: str) -> Worth:
        """The row of a step by its address or short name."""
        return next(
            row for row in self.rows if name in (row.step, row.step.rpartition(".")[2].rpartition(":")[2])
        )

    def __str__(self) -> str:
        head = (
            f"{self.metric} {self.whole:.4f} on {self.num_rows} rows of validation, {self.num_seeds} seeds; "
            f"worth of each step with a {self.level:.0%} interval"
        )
        lines = [f"  {row.step:24s} {row.worth:+.4f}  [{row.low:+.4f}, {row.high:+.4f}]  {row.verdict}"
                 for row in self.rows]  # fmt: skip
        return "\n".join([head, *lines])


def ablate(value: Value, data: Value | None = None, *, seeds: Count = 3, level: Level = 0.95) -> Ablation:
    """Replays a life without each of its removable steps.

    Args:
        value: a Model or Program made by recorded steps.
        data: what to score on (its validation split); the last Dataset of the life when None.
        seeds: master seeds; the first keeps the recorded seeds, each other changes all of them.
        level: of the intervals.

    Raises:
        UsageError: there is no lineage, nothing to score on, or no step that can be removed.
    """
    import numpy as np

    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so none can be left out")
    session = current()
    judge = Judge(session, data_of(value, data, session))
    calls = value.made.call.history()
    removable = [(call, removal) for call in calls if (removal := _removal(call)) is not None]
    if not removable:
        raise UsageError("no step of this life can be left out")
    whole = [judge.score(replay(value.made, session, seed=seed)) for seed in range(seeds)]
    rows = []
    for call, removal in removable:
        without = [judge.score(_without(value.made, call, removal, session, seed)) for seed in range(seeds)]
        differences_SN = np.stack([a.outcome - b.outcome for a, b in zip(whole, without, strict=True)])
        sign = 1.0 if whole[0].scores.manifest["higher_is_better"] else -1.0
        rows.append(_worth(call, sign * differences_SN, level, whole[0], without[0]))
    return Ablation(
        metric=whole[0].scores.headline, whole=float(np.mean([one.scores.value for one in whole])),
        num_rows=whole[0].scores.num_rows, num_seeds=seeds, level=level, rows=tuple(rows),
        kept=tuple(call.step for call in calls if _removal(call) is None),
    )  # fmt: skip


def _removal(call: Call) -> Any:
    removal = step.by_address(call.step).signature.removal()
    if isinstance(removal, Mapping) and all(
        call.options.get(name) == given for name, given in removal.items()
    ):
        return None  # it already stands at its neutral options
    if isinstance(removal, str):
        return "identity" if stand_in(call) else None  # an export of a Model has no Program to fall back on
    return removal


def _without(target: Made, call: Call, removal: Any, session: Session, seed: int) -> Value:
    if removal == "identity":
        return replay(target, session, without={call.id}, seed=seed)
    return replay(target, session, options={call.id: removal}, seed=seed)


def _worth(call: Call, differences_SN: Any, level: float, whole: Scored, without: Scored) -> Worth:
    estimate, low, high = intervals.of(differences_SN, level)
    verdict = "helps" if low > 0 else "harms" if high < 0 else "no measurable effect"
    return Worth(
        step=call.step, call=call.id, worth=estimate, low=low, high=high, verdict=verdict,
        parameters=_pair("num_params", whole, without), size_bytes=_pair("size_bytes", whole, without),
    )  # fmt: skip


def _pair(fact: str, whole: Scored, without: Scored) -> tuple[int, int] | None:
    with_it, without_it = getattr(whole.value, fact, None), getattr(without.value, fact, None)
    return None if with_it is None or without_it is None else (with_it, without_it)
