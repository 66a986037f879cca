"""moves: a game as an environment of Gymnasium: each step settles one place, the last one earns the worth.

Papers: He et al. 2018, "AMC", sections 3.1 to 3.3 (a layer per step); Cubuk et al. 2019, "AutoAugment" (an
    operation per step).

Shapes: O numbers of a state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lichen.core.errors import missing_package
from lichen.engine.search.games import Game, Levels

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    raise missing_package("gymnasium", "control") from None


class Moves(gymnasium.Env):
    """One choice is an episode.

    Args:
        is_continuous: an action is a number from -1, the lowest level, to 1, the highest, not a level.
    """

    def __init__(self, game: Game, *, is_continuous: bool = False) -> None:
        self.game, self.is_continuous = game, is_continuous
        self.levels: Levels = ()
        self.observation_space = spaces.Box(-1.0, 2.0, game.state(()).shape, np.float32)
        self.action_space = (
            spaces.Box(-1.0, 1.0, (1,), np.float32) if is_continuous else spaces.Discrete(game.num_levels)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.levels = ()
        return self.game.state(()), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.levels = (*self.levels, self.game.nearest(self.levels, self._level(action)))
        is_over = len(self.levels) == self.game.num_places
        worth = self.game.worth(self.levels) if is_over else 0.0
        return self.game.state(self.levels), worth, is_over, False, {}

    def _level(self, action: Any) -> int:
        return level_of(float(action[0]), self.game.num_levels) if self.is_continuous else int(action)


def level_of(share: float, num_levels: int) -> int:
    """-1 is the lowest level, 1 the highest."""
    return int(np.clip((share + 1.0) / 2.0 * num_levels, 0, num_levels - 1))
