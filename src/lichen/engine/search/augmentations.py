"""augmentations: which operations vary the train pictures, and how strongly, as a game of four places.

Paper: Cubuk et al. 2019, "AutoAugment", section 3: what a policy earns is the accuracy of a training with it.
Departs from it: one sequence of up to four operations for all rows; the training is the short one of a
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
from lichen.engine.search.games import Ledger, Levels
from lichen.engine.search.hunt import Hunt, Ops
from lichen.engine.search.moves import Moves

RECORDED: Levels = (-1,) * actions.LENGTH
"""The operations of the life itself."""


class Augmentations(Moves):
    """The environment.

    Args:
        model: the digest of what was trained. data: of what it is judged on.
        epochs: of a trial.
    """

    def __init__(self, model: str, data: str, epochs: int) -> None:
        super().__init__(game_of(model, data, epochs, current().run))


@lru_cache(maxsize=4)
def game_of(model: str, data: str, epochs: int, run: str) -> Game:
    """The game, built once for all copies of the environment in a run, which has the store to train in."""
    value, judged = games.held(model), games.held(data)
    assert isinstance(judged, Dataset)
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is no training to replay")
    return Game(Hunt(value.made, judged, current()), epochs)


class Game(Ledger):
    """Level 0 is no operation, the others are the numbered actions of `data/actions`.

    What the life has recorded need not be among these, so that it stands for itself.
    """

    num_places = actions.LENGTH
    num_levels = 1 + len(actions.ACTIONS)
    is_ordered = False
    usual: Levels = (0,) * actions.LENGTH

    def __init__(self, hunt: Hunt, epochs: int) -> None:
        super().__init__()
        self.hunt, self.epochs = hunt, epochs
        self.recorded = RECORDED if hunt.ops else None

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

    def tried(self, levels: Levels) -> float:
        value = self.hunt.chosen(self.ops(levels), self.epochs)
        return self.hunt.sign * value

    def outcome(self, levels: Levels, seed: int) -> np.ndarray:
        """Of the rows that did not choose, after the whole training by a master seed."""
        outcome_N = self.hunt.judged(self.ops(levels), seed)
        return self.hunt.sign * outcome_N

    def words(self, levels: Levels) -> str:
        named = [f"{op}: {strength:g}" for pair in self.ops(levels) for op, strength in pair.items()]
        return f"[{', '.join(named)}]"

    def line(self, levels: Levels) -> str:
        return f"- augment.policy: {{ops: {self.words(levels)}}}"

    def ops(self, levels: Levels) -> Ops:
        """What `augment.policy` takes as `ops`."""
        if levels == RECORDED:
            return self.hunt.ops
        return actions.ops_of([level - 1 for level in levels if level])
