"""search: how to choose within a life: by a learnt policy, by chance, greedily or by TPE, at equal budget.

What is chosen are the widths of a model's layers within a budget, or the augmentation of a training. Each way
may ask equally often what a choice is worth, on one half of some validation rows; the best that it asked for
is judged on the other half, over seeds, and the ways are compared in pairs.
Papers: He et al. 2018 (AMC); Cubuk et al. 2019 (AutoAugment); Bergstra et al. 2011 (TPE).

Shapes: S seeds, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.schema import Count, Level, Ratio, Seed
from lichen.core.scoring import data_of
from lichen.core.session import current
from lichen.core.value import Value
from lichen.engine.scores import intervals
from lichen.engine.search import ways
from lichen.engine.search.games import Game
from lichen.engine.search.ways import Choice

USUAL = "usual"
"""What one would choose without looking: all layers alike, or no augmentation; asks once."""
RECORDED = "recorded"
"""The augmentation that the life has; asks once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one way found, a choice per seed.

    Args:
        worth: on the rows that chose, the mean over seeds. value: on the rows that did not.
        asked: how often a choice's worth was asked for, by the seed that asked most.
        line: of a recipe: it applies the choice that was worth most on the rows that chose.
    """

    way: str
    choices: tuple[str, ...]
    worth: float
    value: float
    asked: int
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How much better one way's choices are than another's; paired over seeds and rows."""

    one: str
    other: str
    better: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no measurable difference"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All ways beside each other, and which one won."""

    what: str
    metric: str
    algorithm: str
    found: tuple[Found, ...]
    first: str
    """The way whose choices were worth most on rows that chose nothing."""
    pairs: tuple[Pair, ...]
    """Every two ways, the better one first."""
    level: float
    num_rows: int
    num_seeds: int

    @property
    def winner(self) -> str | None:
        """The first, where it is measurably better than every other way; None: nobody won."""
        rivals = [pair for pair in self.pairs if pair.one == self.first]
        return self.first if all(pair.low > 0 for pair in rivals) else None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "winner": self.winner}

    def __str__(self) -> str:
        lines = [
            f"{self.what}: {self.metric} on {self.num_rows} rows that chose nothing, {self.num_seeds} seeds"
        ]
        for one in sorted(self.found, key=lambda one: -one.value):
            name = f"{one.way} ({self.algorithm})" if one.way == "rl" else one.way
            lines.append(f"  {name:16s} {one.value:.4f}  asked {one.asked:4d} times  {one.choices[0]}")
        for pair in self.pairs:
            if pair.one != self.first and {pair.one, pair.other} != {"rl", USUAL}:
                continue
            interval = f"[{pair.low:+.4f}, {pair.high:+.4f}] at {self.level:.0%}"
            lines.append(f"  {pair.one} - {pair.other}: {pair.better:+.4f} {interval}: {pair.verdict}")
        nobody = f"nobody won: {self.first} came first, but not measurably"
        lines.append(f"{self.winner} won" if self.winner else nobody)
        line = next(one.line for one in self.found if one.way == self.first)
        return "\n".join([*lines, f"what {self.first} found, in a recipe:", f"  {line}"])


def search(
    model: Model,
    data: Value | None = None,
    *,
    what: Literal["ratios", "augmentations"] = "ratios",
    budget: Count = 60,
    seeds: Count = 3,
    algorithm: Literal["dqn", "sac", "ppo", "pqn", "reinforce"] = "dqn",
    speedup: Ratio = 2.0,
    measure: Literal["macs", "latency"] = "macs",
    num_rows: Count = 300,
    epochs: Count = 1,
    level: Level = 0.95,
    seed: Seed = 0,
) -> Search:
    """Compares ways to choose at equal budget, and says which one won, if any.

    Args:
        model: whose layers are narrowed, or whose training is varied.
        data: what to score on (its validation split); the last Dataset of the life when None.
        what: is chosen: the widths of layers, or operations of augmentation.
        budget: how often each way may ask what a choice is worth.
        seeds: of the searches.
        algorithm: of `decide` that learns to choose.
        speedup: of ratios: how many times less the net may cost.
        measure: of ratios: what it costs.
        num_rows: of ratios: validation rows that choose.
        epochs: of augmentations: of a training that is tried.
        level: of the intervals.
        seed: the first one.

    Raises:
        UsageError: the budget is too small to learn anything, there is one seed, or what `prepare.ratios` or
            `prepare.augmentations` refuse.
    """
    if budget < ways.LEAST:
        raise UsageError(f"budget must be at least {ways.LEAST}, not {budget}")
    if seeds < 2:
        raise UsageError("one seed says nothing of luck, so nobody could win", hint="--seeds 3")
    judged = data_of(model, data, current())
    assert isinstance(judged, Dataset)
    options: Mapping[str, Any] = (
        {"speedup": speedup, "by": measure, "num_rows": num_rows, "is_continuous": algorithm == "sac"}
        if what == "ratios" else {"epochs": epochs}
    )  # fmt: skip
    if algorithm == "sac" and what != "ratios":
        raise UsageError("operations have no order that decide.sac could follow", hint="--algorithm dqn")
    world = ways.called(f"prepare.{what}", (model, judged), options, current())
    assert isinstance(world, Environment)
    game = ways.game_of(world)
    told = {
        way: [ways.found(way, game, budget, seed + number, world, algorithm) for number in range(seeds)]
        for way in ways.WAYS
    }
    unsearched = {USUAL: game.usual, RECORDED: game.recorded}
    told |= {way: [Choice(levels, 1)] * seeds for way, levels in unsearched.items() if levels is not None}
    return _judged(game, told, what, algorithm, level)


def _judged(game: Game, told: Mapping[str, list[Choice]], what: str, algorithm: str, level: float) -> Search:
    outcomes_SN = {
        way: np.stack([game.outcome(one.levels, number) for number, one in enumerate(choices)])
        for way, choices in told.items()
    }
    found = tuple(_found(game, way, choices, outcomes_SN[way]) for way, choices in told.items())
    order = [one.way for one in sorted(found, key=lambda one: -one.value)]
    pairs = []
    for one, other in combinations(order, 2):
        better, low, high = intervals.of(outcomes_SN[one] - outcomes_SN[other], level)
        pairs.append(Pair(one=one, other=other, better=better, low=low, high=high))
    some = next(iter(outcomes_SN.values()))
    return Search(
        what=what, metric=game.metric, algorithm=algorithm, found=found, first=order[0], pairs=tuple(pairs),
        level=level, num_rows=some.shape[1], num_seeds=len(some),
    )  # fmt: skip


def _found(game: Game, way: str, choices: list[Choice], outcomes_SN: np.ndarray) -> Found:
    chosen = [one.levels for one in choices]
    worths = [game.worth(levels) for levels in chosen]
    return Found(
        way=way, choices=tuple(map(game.words, chosen)), worth=float(np.mean(worths)),
        value=float(outcomes_SN.mean()), asked=max(one.asked for one in choices),
        line=game.line(chosen[int(np.argmax(worths))]),
    )  # fmt: skip
