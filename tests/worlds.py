"""worlds: tiny environments whose every reward and end is known."""

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class Corridor(gymnasium.Env):
    """Shows (place of the copy, episode, step); every step earns its number, and action 1 twice as much.

    Episodes last 3, 5, 3, 5, ... steps; the short ones terminate, the long ones are cut off.
    """

    observation_space = spaces.Box(-1e6, 1e6, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.episode, self.steps, self.copy = -1, 0, -1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.copy, self.episode = float(seed % 1000), -1
        self.episode, self.steps = self.episode + 1, 0
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        is_short = self.episode % 2 == 0
        is_over = self.steps == (3 if is_short else 5)
        reward = float(self.steps) * (1 + int(action))
        return self._seen(), reward, is_over and is_short, is_over and not is_short, {}

    def _seen(self):
        return np.array([self.copy, self.episode, self.steps], np.float32)


class Overwriting(Corridor):
    """Writes all it shows into one array."""

    def __init__(self):
        super().__init__()
        self.shown = np.zeros(3, np.float32)

    def _seen(self):
        self.shown[:] = super()._seen()
        return self.shown


class _Many(SyncVectorEnv):
    mode, world = AutoresetMode.NEXT_STEP, Corridor

    def __init__(self, num_envs):
        super().__init__([self.world] * num_envs, autoreset_mode=self.mode)


class NextStep(_Many):
    pass


class SameStep(_Many):
    mode = AutoresetMode.SAME_STEP


class Disabled(_Many):
    mode = AutoresetMode.DISABLED


class OverwritingNextStep(_Many):
    world = Overwriting


class OverwritingDisabled(_Many):
    mode, world = AutoresetMode.DISABLED, Overwriting


class Silent(_Many):
    """Does not say how it begins anew."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        del self.metadata["autoreset_mode"]


class Counted(gymnasium.wrappers.NormalizeReward):
    """Has figures of its own, as what it is made of."""


class Push(gymnasium.Env):
    """One number, pushed by another: staying near zero pays. For continuous actions."""

    observation_space = spaces.Box(-10, 10, (1,), np.float32)
    action_space = spaces.Box(-2, 6, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.uniform(-2, 2), 0
        return np.array([self.place], np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.place = float(np.clip(self.place + 0.5 * (action[0] - 2.0), -10, 10))
        self.steps += 1
        return np.array([self.place], np.float32), -abs(self.place), False, self.steps >= 10, {}


class Bandit(gymnasium.Env):
    """Two lamps; the action that names the lit one earns 1. One step, then over."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.lit = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.lit], {}

    def step(self, action):
        return np.zeros(2, np.float32), float(action == self.lit), True, False, {}


class Broken(Bandit):
    """Earns what is no number."""

    def step(self, action):
        return np.zeros(2, np.float32), float("nan"), True, False, {}


class Drawn(gymnasium.Env):
    """Draws the number of its step as a shade; an episode is five of them."""

    length = 5
    observation_space = spaces.Box(0, 1e6, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode, self.steps = render_mode, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(1, self.steps, np.float32), 1.0, self.steps == self.length, False, {}

    def render(self):
        return np.full((200, 400, 3), self.steps, np.uint8)


class Long(Drawn):
    length = 101


class Seen(Bandit):
    """The lamps as a picture."""

    observation_space = spaces.Box(0, 255, (2, 2, 1), np.uint8)

    def reset(self, *, seed=None, options=None):
        lamps, about = super().reset(seed=seed)
        return self._drawn(lamps), about

    def step(self, action):
        lamps, *told = super().step(action)
        return self._drawn(lamps), *told

    def _drawn(self, lamps):
        return np.tile(lamps.astype(np.uint8), (2, 1))[:, :, None]


class Painted(Bandit):
    """The lamps as the two halves of a picture in three colours, which come last."""

    observation_space = spaces.Box(0, 255, (6, 8, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        lamps, about = super().reset(seed=seed)
        return self._drawn(lamps), about

    def step(self, action):
        lamps, *told = super().step(action)
        return self._drawn(lamps), *told

    def _drawn(self, lamps):
        picture = np.zeros((6, 8, 3), np.uint8)
        picture[:, :4, 0], picture[:, 4:, 2] = 200 * lamps[0], 100 * lamps[1]
        return picture


class PaintedVector(SyncVectorEnv):
    """Has no copy to be wrapped."""

    def __init__(self, num_envs):
        super().__init__([Painted] * num_envs)


class Sick(Push):
    """Earns what is no number."""

    def step(self, action):
        seen, _, *told = super().step(action)
        return seen, float("nan"), *told
