"""arcade: games of the Atari 2600 as environments, seen in their last few grey frames, by ale-py's code.

Papers: Mnih et al. 2015, methods, "preprocessing"; Machado et al. 2018, section 5, for actions that stick.
Departs from them: points are told as the game counts them; learners that need small ones measure them in
    deviations.

Shapes: N copies, F frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lichen.core.errors import NotFoundError, OptionError, missing_package, nearest

try:
    import ale_py
    import gymnasium
    from ale_py import roms
    from ale_py.vector_env import AtariVectorEnv
except ImportError:
    raise missing_package("ale-py", "atari") from None

SCREEN = (210, 160)
"""Pixels that the console draws, height first."""
STICKY = 0.25
"""How often the last action is taken once more, in place of the one that was chosen."""
SEEDS = 2**31


class Arcade(AtariVectorEnv):
    """Copies of a game; what they see is uint8 (N, F, H, W).

    Args:
        game: such as pong or space_invaders.
        frameskip: frames that an action lasts; what is seen is the brighter of the last two.
        repeat_action_probability: how often an action sticks; 0: never.
        num_frames: that are seen, the newest last.
        height: of what is seen, in pixels. width: likewise.
        max_steps: actions after which a game is cut off, but for the few that begin it.
        is_one_life: a lost life ends an episode, which tells a learner more, and less of the game.
    """

    def __init__(
        self, num_envs: int, game: str, *, frameskip: int = 4, repeat_action_probability: float = STICKY,
        num_frames: int = 4, height: int = 84, width: int = 84, max_steps: int = 27_000,
        is_one_life: bool = False, full_action_space: bool = False, is_coloured: bool = False,
    ) -> None:  # fmt: skip
        known = sorted(roms.get_all_rom_ids())
        if game not in known:
            raise NotFoundError(f"unknown game `{game}`", hint=nearest(game, known) or "pong, breakout")
        if min(frameskip, num_frames, height, width, max_steps) < 1:
            raise OptionError("frameskip, num_frames, height, width and max_steps must be at least 1")
        if not 0.0 <= repeat_action_probability < 1.0:
            raise OptionError(f"repeat_action_probability must be in [0, 1), not {repeat_action_probability}")
        self.metadata = dict(self.metadata)  # ale-py writes into what all vector environments share
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        super().__init__(
            game, num_envs, num_threads=1 if num_envs == 1 else 0, frameskip=frameskip,
            max_num_frames_per_episode=max_steps * frameskip, full_action_space=full_action_space,
            repeat_action_probability=repeat_action_probability, stack_num=num_frames, img_height=height,
            img_width=width, grayscale=not is_coloured, reward_clipping=False, episodic_life=is_one_life,
        )  # fmt: skip

    @staticmethod
    def one(options: Mapping[str, Any], render_mode: str | None) -> gymnasium.Env:
        """One copy by itself, for wrappers and to be drawn."""
        return Drawn(options, render_mode)


class Drawn(gymnasium.Env):
    """One copy that shows its screen: a second one plays the same actions by the same seed, in colours."""

    def __init__(self, options: Mapping[str, Any], render_mode: str | None) -> None:
        self.render_mode, self.shown = render_mode, np.zeros(0)
        self.copy = Arcade(1, **options)
        self.observation_space = self.copy.single_observation_space
        self.action_space = self.copy.single_action_space
        height, width = SCREEN
        as_drawn = {**options, "height": height, "width": width, "num_frames": 1, "is_coloured": True}
        self.screen = Arcade(1, **as_drawn) if render_mode else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        number = int(self.np_random.integers(SEEDS)) if seed is None else seed
        if self.screen:
            self.shown = self.screen.reset(seed=number)[0][0, -1]
        return self.copy.reset(seed=number)[0][0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        taken = np.array([action], np.int64)
        if self.screen:
            self.shown = self.screen.step(taken)[0][0, -1]
        seen, reward, terminated, truncated, _ = self.copy.step(taken)
        return seen[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Any:
        return self.shown.copy()


def game_of(name: str) -> str:
    """`ALE/Pong-v5`, as Gymnasium has it -> pong, as the console's games are called.

    Raises:
        NotFoundError: there is none of that name.
    """
    known = {one: spec for one, spec in gymnasium.registry.items() if one.startswith("ALE/")}
    if name not in known:
        raise NotFoundError(f"unknown environment `{name}`", hint=nearest(name, known) or "ALE/Pong-v5")
    return known[name].kwargs["game"]
