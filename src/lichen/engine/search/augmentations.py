"""augmentations: which operations vary the train pictures, and how strongly, as a game of three places.

Paper: Cubuk et al. 2019, "AutoAugment", section 3: what a policy earns is the accuracy of a training with it.
Departs from it: one sequence of up to three operations for all rows; the training is the short one of a
    recorded life, replayed.

Shapes: N rows, O numbers of a state.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.session import current
from lichen.data import actions
from lichen.engine.search import games
from lichen.engine.search.games import Levels
from lichen.engine.search.hunt import Hunt
from lichen.engine.search.moves import Moves


class Augmentations(Moves):
    """The environment.

    Args:
        model: the digest of what was trained. data: of what it is judged on.
        epochs: of a trial.
    """

    def __init__(self, model: str, data: str, epochs: int) -> None:
        super().__init__(game_of(model, data, epochs))


@lru_cache(maxsize=4)
def game_of(model: str, data: str, epochs: int) -> Game:
    """The game, built once for all copies of the environment."""
    value, judged = games.held(model), games.held(data)
    assert isinstance(judged, Dataset)
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is no training to replay")
    return Game(Hunt(value.made, judged, current()), epochs)


class Game:
    """Level 0 is no operation, the others are the numbered actions of `data/actions`."""

    num_places = actions.LENGTH
    num_levels = 1 + len(actions.ACTIONS)
    is_ordered = False
    usual: Levels = (0,) * actions.LENGTH

    def __init__(self, hunt: Hunt, epochs: int) -> None:
        self.hunt, self.epochs = hunt, epochs
        self.known: dict[Levels, float] = {}

    @property
    def metric(self) -> str:
        return self.hunt.metric

    def state(self, levels: Levels) -> np.ndarray:
        """float32 (O,): how many places are taken, and which operations are."""
        taken = np.zeros(self.num_levels + 1, np.float32)
        taken[0] = len(levels) / self.num_places
        taken[[1 + level for level in levels]] = 1.0
        return taken

    def nearest(self, levels: Levels, level: int) -> int:
        return level

    def worth(self, levels: Levels) -> float:
        if levels not in self.known:
            value = self.hunt.chosen(ops_of(levels), self.epochs)
            self.known[levels] = self.hunt.sign * value
        return self.known[levels]

    def outcome(self, levels: Levels, seed: int) -> np.ndarray:
        """Of the rows that did not choose, after the whole training by a master seed."""
        outcome_N = self.hunt.outcome(ops_of(levels), self.hunt.epochs, seed)
        return self.hunt.sign * outcome_N[~self.hunt.chooses_N]

    def words(self, levels: Levels) -> str:
        named = [f"{op}: {strength:g}" for pair in ops_of(levels) for op, strength in pair.items()]
        return f"[{', '.join(named)}]"


def ops_of(levels: Levels) -> list[dict[str, float]]:
    """What `augment.policy` takes as `ops`."""
    return actions.ops_of([level - 1 for level in levels if level])
