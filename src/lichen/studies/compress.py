"""compress: the form of a model that reaches a target and lost no more than it may, or a plain no.

The steps of `compress` that say how far they can go (their LADDER) are tried: each that gives a Model is
climbed from weak to strong until too much is lost, and every Model is finished by each that gives a Program.
All Programs are then timed in turns. One may be had where the upper end of its paired drop, widened for the
number of candidates (Bonferroni), is within `max_drop`, where it keeps the hard limits of the machine that it
is for, and where it is not slower than what it came from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lichen.core import calling, ladder, machine, step
from lichen.core.dataset import Dataset
from lichen.core.errors import GateError, MachineError, StepError, UsageError
from lichen.core.ladder import Ladder, Options
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.schema import Fraction, Level, Natural, Seed
from lichen.core.scoring import Judge, data_of
from lichen.core.session import Session, current
from lichen.core.value import size_text
from lichen.engine.compression import frontier
from lichen.engine.compression.frontier import Chain, Point
from lichen.engine.compression.target import Asked, profile_of, target_of
from lichen.engine.programs import executables, footprint
from lichen.engine.scores import intervals

RACE_S = 0.25
"""Seconds that each candidate adds to the race of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """The best form found, whether it is what was asked for, and all that was tried."""

    metric: str
    whole: float
    """The headline of the model as given."""
    num_rows: int
    hidden: float | None
    """The drop that so many rows may hide where no answer differs; None: rows count no answers."""
    asked: Asked
    best: Point
    points: tuple[Point, ...]
    is_reached: bool
    is_busy: bool
    """Others kept the machine occupied: distrust the times."""

    @property
    def says_no(self) -> bool:
        return not self.is_reached

    @property
    def program(self) -> Program:
        """What to ship: the best found, which may be no more than the model in another form."""
        assert self.best.program is not None
        return self.best.program

    @property
    def frontier(self) -> list[Point]:
        return [point for point in self.points if point.is_front]

    @property
    def verdict(self) -> str:
        """In one sentence."""
        base = frontier.base_of(self.points)
        gain = frontier.latency(base) / frontier.latency(self.best)
        shrunk = frontier.size(base) / frontier.size(self.best)
        found = (
            f"{self.best.words} {self.program.id}: {gain:.2f}x as fast and {shrunk:.2f}x as small as the "
            f"model in float32, {self.metric} {self.best.quality:.4f}"
        )
        if self.is_reached:
            return f"yes: {found}"
        if self.best.refused:
            return f"cannot: {self.best.refused}; the least that answers as the model: {self.best.words}"
        unsure = self.hidden and any(point.is_unsure(self.asked.max_drop) for point in self.points)
        hint = f"; {self.num_rows} rows of validation may hide a drop of {self.hidden:.4f}" if unsure else ""
        return (
            f"cannot: {self.asked.target} within a drop of {self.asked.max_drop:g}; the best is {found}{hint}"
        )

    def as_json(self) -> dict[str, Any]:
        profile = {**asdict(self.asked.profile), "words": str(self.asked.profile)}
        nested = {
            "asked": {**asdict(self.asked), "profile": profile}, "best": self.best.as_json(),
            "points": [point.as_json() for point in self.points],
        }  # fmt: skip
        plain = {name: nested.get(name, getattr(self, name)) for name in self.__slots__}
        return {**plain, "verdict": self.verdict}

    def __str__(self) -> str:
        width = max(len(point.words) for point in self.points)
        asked = self.asked
        said = (
            f"{self.metric} {self.whole:.4f} on {self.num_rows} rows of validation may drop by "
            f"{asked.max_drop:g}; {asked.target}; {asked.profile}"
        )
        known = f"{asked.level:.0%} for all"
        head = f"  {'':{width}} {self.metric:>9} {'drop':>8} {known:>18}  latency      size"
        busy = ["times were taken while others kept the machine busy"] if self.is_busy else []
        return "\n".join([said, head, *(_line(point, width) for point in self.points), *busy, self.verdict])


def _line(point: Point, width: int) -> str:
    if point.program is None or point.drop is None:
        return f"  {point.words:{width}} refused: {point.refused}"
    known = "the same answers" if point.is_exact else f"[{point.low:+.4f}, {point.high:+.4f}]"
    size = size_text(point.program.size_bytes)
    memory = f"  {size_text(point.memory_bytes)} of memory" if point.memory_bytes else ""
    return (
        f"{'*' if point.is_front else ' '} {point.words:{width}} {point.quality:9.4f} {point.drop:+8.4f} "
        f"{known:>18} {point.latency_ms:5.3g} ms {size:>9}  {point.program.id}{memory}"
        + (f"  refused: {point.refused}" if point.refused else "")
    )


def compress(
    model: Model,
    data: Dataset | None = None,
    *,
    target: dict | None = None,
    max_drop: Fraction = 0.01,
    profile: dict | None = None,
    trials: Natural = 6,
    epochs: Natural | None = None,
    level: Level = 0.95,
    seed: Seed = 0,
) -> Compression:
    """Searches the steps of `compress` for the form of a model that reaches a target.

    Of all that reach the target the best is the one that lost least. Where none does, the best is the nearest
    to it that may be had, and the answer is "cannot". Without a target the best is the fastest. Where
    the target is a time, channels go by what they cost on this machine. What needs a package that is not
    installed is refused with its name.

    Args:
        data: to recover and calibrate on (train) and to judge by (validation); the last Dataset of the
            model's life when None.
        target: `latency_ms`, `size_bytes`, and `speedup` over the fastest float32 executable of the model.
        max_drop: of the headline on validation, as in compress.quantize: 0.01 is one point of accuracy.
        profile: a machine that is not this one: `memory_bytes` and `size_bytes` as hard limits, `threads` as
            a ceiling. Times are of this machine's cores.
        trials: calls of steps that train, at most.
        epochs: of each of these; None: what the step has.
        level: of the intervals, for all candidates together.
        seed: of every step.

    Raises:
        GateError: no executable answers as the model does.
        OptionError: the target or profile says something else than these.
        UsageError: the value is no Model, or there is nothing to judge by.
    """
    if not isinstance(model, Model):
        made_from = model.manifest.get("source")
        raise UsageError(
            f"compress takes a Model, not {model!r}",
            hint=f"it was made from {made_from[:10]}" if made_from else None,
        )
    if model.made is None and data is None:
        raise UsageError("there is no Dataset to judge by", hint="give them: (model, data)")
    session = current()
    found = data if data is not None else data_of(model, None, session)
    assert isinstance(found, Dataset)
    asked = Asked(
        target=target_of(target), profile=profile_of(profile), max_drop=max_drop, trials=trials, level=level
    )
    by = "latency" if asked.target.is_of_time else None
    told = {"epochs": epochs, "seed": seed, "max_drop": max_drop, "by": by}
    search = _Search(model, found, asked, told, session)
    whole = search.finish(model, ())
    if not any(point.is_exact for point in whole):
        raise GateError(f"no executable answers as the model does: {whole[0].refused}")
    for one in ladder.of_stage("compress", "Model"):
        search.climb(one)
    return search.result()


class _Search:
    """What was tried so far, and how to try more."""

    def __init__(self, model: Model, data: Dataset, asked: Asked, told: Options, session: Session) -> None:
        self.model, self.data, self.asked, self.session = model, data, asked, session
        self.told = {name: value for name, value in told.items() if value is not None}
        """What every step is told that takes it."""
        self.finishers = ladder.of_stage("compress", "Program")
        self.judge = Judge(session, data)
        self.start = self.judge.score(model)
        self.trials_left = asked.trials
        self.points: list[Point] = []
        self._settled: list[Point] = []
        at_most = sum(len(one.rungs) for one in self.finishers) * (1 + asked.trials)
        self.shared_level = 1.0 - (1.0 - asked.level) / at_most

    def finish(self, model: Model, chain: Chain) -> list[Point]:
        """Every Program of a model, judged."""
        made = [self._judged(one, options, model, chain) for one in self.finishers for options in one.rungs]
        self.points += made
        return made

    def _judged(self, one: Ladder, options: Options, model: Model, chain: Chain) -> Point:
        point = Point(chain=(*chain, (one.step, options)))
        try:
            program = self._call(one, options, model)
        except (GateError, MachineError) as refusal:  # a runtime may not be installed, and others are
            return replace(point, refused=refusal.message)
        scored = self.judge.score(program)
        sign = 1.0 if scored.scores.manifest["higher_is_better"] else -1.0
        loss_N = sign * (self.start.outcome - scored.outcome)
        low, high = intervals.paired(loss_N, self.shared_level, outcome_N=self.start.outcome)
        profile = self.asked.profile
        peak = footprint.peak_bytes(program, max(profile.counts)) if profile.memory_bytes else None
        return replace(
            point, program=program, is_plain=options in one.neutral(), quality=scored.scores.value,
            drop=float(np.mean(loss_N)), low=low, high=high, memory_bytes=peak,
        )  # fmt: skip

    def _call(self, one: Ladder, options: Options, model: Model) -> Any:
        known = one.signature.options
        told = {name: value for name, value in self.told.items() if name in known and
                (not known[name].choices or value in known[name].choices)}  # fmt: skip
        values = ladder.values_for(one.signature, model, self.data)
        return calling.execute(step.by_address(one.step), values, {**told, **options}, self.session)

    def climb(self, one: Ladder) -> None:
        """From weak to strong until too much is lost or the target is reached, then between the last two."""
        good, bad, waiting = None, None, list(one.rungs)
        while waiting and self.trials_left and not self._is_reached():
            options = waiting.pop(0)
            if self._try(one, options):
                good = options
            else:
                bad, waiting = options, []
            if bad is not None:
                middle = one.between(good, bad)
                waiting = [middle] if middle is not None else []

    def _try(self, one: Ladder, options: Options) -> bool:
        """Shrinks the model and finishes it; whether any form of it seems to have lost little enough."""
        self.trials_left -= 1
        chain: Chain = ((one.step, options),)
        try:
            made = self.finish(self._call(one, options, self.model), chain)
        except (GateError, UsageError, StepError, MachineError) as error:
            self.points.append(Point(chain=chain, refused=error.message))
            return False
        return any(point.drop is not None and point.drop <= self.asked.max_drop for point in made)

    def _is_reached(self) -> bool:
        """Whether a target that was named is met by what there is."""
        return not self.asked.target.is_open and frontier.best_of(self.settled(), self.asked.target)[1]

    def settled(self) -> list[Point]:
        """All points, timed in turns, each with what it is refused for."""
        if len(self._settled) != len(self.points):
            made = {str(n): point.program for n, point in enumerate(self.points) if point.program is not None}
            found_ms = executables.latencies_ms(
                made, threads=self.asked.profile.counts, limit_s=RACE_S * len(made)
            )
            timed = [replace(point, latency_ms=found_ms.get(str(n))) for n, point in enumerate(self.points)]
            self._settled = frontier.settled(timed, self.asked.profile, self.asked.max_drop)
        return self._settled

    def result(self) -> Compression:
        best, is_reached = frontier.best_of(self.settled(), self.asked.target)
        num_rows = self.start.scores.num_rows
        hidden = intervals.hidden(num_rows, self.shared_level)
        return Compression(
            metric=self.start.scores.headline, whole=self.start.scores.value,
            num_rows=num_rows, asked=self.asked, best=best, points=tuple(self.settled()),
            is_reached=is_reached, is_busy=machine.is_busy(),
            hidden=hidden if intervals.are_counted(self.start.outcome) else None,
        )  # fmt: skip
