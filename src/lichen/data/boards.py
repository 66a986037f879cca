"""boards: one side of a board game of PettingZoo as an environment; the other side is played by a rule.

Shapes: M moves there are.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lichen.core import find
from lichen.core.errors import NotFoundError, OptionError, missing_package, nearest

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    raise missing_package("gymnasium", "control") from None

NAMED = re.compile(r"\w+_v\d+")
SHARED = ("screen", "clock")
"""What a position does not change and nothing can copy."""
OPPONENTS = ("random", "greedy")
"""Any move, or one that wins at once where there is one."""


class Board(gymnasium.Env):
    """A whole game is an episode: 1 is won, 0 drawn, -1 lost. Who begins is drawn.

    Args:
        game: of pettingzoo.classic, with two players who move in turn and a mask of the moves that are
            allowed, such as connect_four_v3. A move that is not allowed becomes the next one that is.
        opponents: who is played against; one is drawn per game.
    """

    def __init__(
        self, game: str, opponents: Sequence[str] = OPPONENTS, render_mode: str | None = None
    ) -> None:
        for one in opponents:
            if one not in OPPONENTS:
                raise OptionError(
                    f"unknown opponent `{one}`", hint=nearest(one, OPPONENTS) or "random, greedy"
                )
        self.render_mode, self.opponents = render_mode, list(opponents)
        self.table = _table(game, render_mode)
        self.players = list(self.table.possible_agents)
        self.me, self.opponent = self.players[0], self.opponents[0]
        space = self.table.observation_space(self.me)
        if len(self.players) != 2 or not isinstance(space, spaces.Dict) or "action_mask" not in space.spaces:
            raise OptionError(f"`{game}` is not played by two with a mask of moves", hint="connect_four_v3")
        shape = space["observation"].shape
        assert shape is not None
        self.observation_space = spaces.Box(0.0, 1.0, (int(np.prod(shape)),), np.float32)
        self.action_space = spaces.Discrete(int(self.table.action_space(self.me).n))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.table.reset()
        self.me = self.players[self.np_random.integers(2)]
        self.opponent = self.opponents[self.np_random.integers(len(self.opponents))]
        self._answered()
        return self._seen(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        allowed_M = self._allowed()
        wanted = (int(action) + np.arange(len(allowed_M))) % len(allowed_M)
        self.table.step(int(wanted[allowed_M[wanted]][0]))
        self._answered()
        return self._seen(), float(self.table.rewards[self.me]), self._is_over(), False, {}

    def render(self) -> Any:
        return self.table.render()

    def close(self) -> None:
        self.table.close()

    def _answered(self) -> None:
        """The other side moves, where it is its turn."""
        if self._is_over() or self.table.agent_selection == self.me:
            return
        moves = np.flatnonzero(self._allowed()).tolist()
        winning = [move for move in moves if self._wins(move)] if self.opponent == "greedy" else []
        self.table.step(int(self.np_random.choice(winning or moves)))

    def _wins(self, move: int) -> bool:
        tried = _twin(self.table)
        player = tried.agent_selection
        tried.step(int(move))
        return tried.rewards[player] > 0

    def _allowed(self) -> np.ndarray:
        """bool (M,): of whose turn it is."""
        return self.table.observe(self.table.agent_selection)["action_mask"].astype(bool)

    def _seen(self) -> np.ndarray:
        return self.table.observe(self.me)["observation"].astype(np.float32).reshape(-1)

    def _is_over(self) -> bool:
        return any(self.table.terminations.values()) or any(self.table.truncations.values())


def _twin(table: Any) -> Any:
    """The same position. A deep copy would be a new game: they say to pickle that they are made anew."""
    twin = object.__new__(type(table))
    for name, value in vars(table).items():
        setattr(twin, name, value if name in SHARED or "space" in name else copy.deepcopy(value))
    return twin


def _table(game: str, render_mode: str | None) -> Any:
    """The game itself, without wrappers, which would refuse to be looked into after its end.

    Raises:
        NotFoundError: there is no such game.
    """
    if not NAMED.fullmatch(game):
        raise NotFoundError(f"unknown game `{game}`", hint="connect_four_v3, tictactoe_v3")
    try:
        find.load("pettingzoo:__version__")
    except NotFoundError:
        raise missing_package("pettingzoo", "boards") from None
    bare = game.rpartition("_v")[0]
    kind = find.load(f"pettingzoo.classic.{bare}.{bare}:raw_env")
    if kind.metadata["name"] != game:
        raise NotFoundError(
            f"unknown game `{game}`", hint=f"the version that is here is {kind.metadata['name']}"
        )
    return kind(render_mode=render_mode)
