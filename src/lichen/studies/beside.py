"""beside: values side by side: what each scores on the same rows, and how far it is from the first.

Differences are paired row by row, so that they are surer than two intervals that overlap. Each row also says
what the value costs, and how long the steps took that not all of the lives share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lichen.core import life, tally
from lichen.core.errors import UsageError
from lichen.core.lineage import Call
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.schema import Level
from lichen.core.scoring import Judge, Scored, data_of
from lichen.core.session import Session, current
from lichen.core.value import Value, count_text, seconds_text, size_text
from lichen.engine.scores import intervals

HEAD = ("", "value", "interval", "to the first", "interval", "parameters", "size", "latency", "took", "")
LEFT = (0, len(HEAD) - 1)
"""Columns of words."""
LONGEST = 24
"""Characters of an option's value in a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One of the values: its headline, and `gain`, the paired difference to the first (positive: better).

    `verdict` is "better", "worse" or "no measurable difference", and nothing for the first itself; `seconds`
    are those of the steps that not all of the values share.
    """

    words: str
    digest: str
    value: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    verdict: str
    num_params: int
    size_bytes: int
    latency_ms: float
    is_busy: bool
    seconds: float

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.words, f"{self.value:.4f}", f"[{self.low:.4f}, {self.high:.4f}]", f"{self.gain:+.4f}",
            f"[{self.gain_low:+.4f}, {self.gain_high:+.4f}]", count_text(self.num_params),
            size_text(self.size_bytes), f"{self.latency_ms:.3g} ms{'~' if self.is_busy else ''}",
            seconds_text(self.seconds), self.verdict,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The values in the order in which they were given."""

    metric: str
    points: tuple[Point, ...]
    num_rows: int
    unit: str
    level: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [HEAD, *(point.cells for point in self.points)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) if place in LEFT else cell.rjust(width)
                           for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                 for row in rows]  # fmt: skip
        said = (
            f"{self.metric} on {self.num_rows} {self.unit} of validation, {self.level:.0%} intervals; took:"
            " the steps that not all of them share"
        )
        return "\n".join([*lines, said])


def beside(
    first: Value,
    second: Value,
    third: Value | None = None,
    fourth: Value | None = None,
    fifth: Value | None = None,
    sixth: Value | None = None,
    seventh: Value | None = None,
    eighth: Value | None = None,
    *,
    level: Level = 0.95,
) -> Beside:
    """Scores up to eight Models and Programs of one task on the last data of the first one's life.

    Args:
        first: what the others are compared with.
        level: of the intervals of differences.

    Raises:
        UsageError: one was not made by recorded steps, or answers another question.
    """
    given = [first, second, third, fourth, fifth, sixth, seventh, eighth]
    values = [value for value in given if value is not None]
    lives = [_life(value, first) for value in values]
    session = current()
    judge = Judge(session, data_of(first, None, session))
    scored = [judge.score(value) for value in values]
    shared = set.intersection(*({call.id for call in calls} for calls in lives))
    seconds = [sum(call.seconds for call in calls if call.id not in shared) for calls in lives]
    names = _names([calls[-1] for calls in lives])
    scores = scored[0].scores
    return Beside(
        metric=scores.headline, num_rows=scores.num_rows, unit=scores.unit, level=level,
        points=tuple(_point(one, scored[0], words, spent, level, session)
                     for one, words, spent in zip(scored, names, seconds, strict=True)),
    )  # fmt: skip


def _life(value: Value, first: Value) -> list[Call]:
    """The calls behind a value, its own the last."""
    if value.made is None or not isinstance(value, Model | Program) or value.task is None:
        raise UsageError(f"{value!r} is no Model or Program that recorded steps made for a task")
    assert isinstance(first, Model | Program)
    for what in ("task", "labels"):
        own, wanted = (one.task if what == "task" else one.assets.get(what) for one in (value, first))
        if own != wanted:
            raise UsageError(f"values side by side must have the same {what}; {value!r} has {own}",
                             hint=f"the first has {wanted}")  # fmt: skip
    return value.made.call.history()


def _names(calls: Sequence[Call]) -> list[str]:
    """Each step's address, with what was said to it and not to others of the same step."""
    found = []
    for call in calls:
        alike = [other.options for other in calls if other.step == call.step]
        told = [f"{name}={str(said)[:LONGEST]}" for name, said in life.given(call).items()
                if any(options.get(name) != said for options in alike)]  # fmt: skip
        found.append(" ".join([call.step, *told]))
    return [name if found.count(name) == 1 else f"{name} {call.id[:6]}"
            for name, call in zip(found, calls, strict=True)]  # fmt: skip


def _point(one: Scored, first: Scored, words: str, seconds: float, level: float, session: Session) -> Point:
    scores, value = one.scores, one.value
    assert isinstance(value, Model | Program)
    sign = 1.0 if scores.manifest["higher_is_better"] else -1.0
    gain_N = sign * (one.outcome - first.outcome)
    low, high = 0.0, 0.0
    if value.digest != first.value.digest:
        low, high = intervals.paired(gain_N, level, outcome_N=first.outcome)
    cost = tally.cost(value, session)
    return Point(
        words=words, digest=value.digest, value=scores.value, low=scores.interval[0],
        high=scores.interval[1], gain=float(gain_N.mean()), gain_low=low, gain_high=high,
        verdict=_verdict(low, high), num_params=value.num_params, size_bytes=value.size_bytes,
        latency_ms=cost["latency_ms"],        is_busy=cost["is_busy"], seconds=seconds,
    )  # fmt: skip


def _verdict(low: float, high: float) -> str:
    if low == high == 0.0:
        return ""
    return "better" if low > 0 else "worse" if high < 0 else "no measurable difference"
