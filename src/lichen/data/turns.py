"""turns: copies of an environment in Python take their steps one after the other, those that rest none.

While a policy is judged, copies whose first episode is over would go on until the longest one ends: where
most landers come down after 300 steps but one hovers for 1000, that is most of the time. Gymnasium's loop
lets none rest, and puts together what nobody asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class Turns(SyncVectorEnv):
    """A copy begins anew in the step after whose action its episode is over."""

    def __init__(self, makers: Sequence[Callable[[], Any]]) -> None:
        super().__init__(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        self._awake = list(range(len(makers)))

    def rest(self, is_resting_N: np.ndarray) -> None:
        """Leaves copies out until all begin anew: they earn nothing, and what they see stays as it is."""
        self._awake = np.flatnonzero(~is_resting_N).tolist()

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        self._awake = list(range(self.num_envs))
        return super().reset(seed=seed, options=options)

    def step(self, actions: Sequence[Any]) -> Any:
        seen, finals = self._observations, {}
        rewards = np.zeros(self.num_envs)
        terminated, truncated = (np.zeros(self.num_envs, bool) for _ in range(2))
        for number in self._awake:
            env = self.envs[number]
            after, rewards[number], is_over, is_cut, _ = env.step(actions[number])
            if is_over or is_cut:
                terminated[number], truncated[number] = is_over, is_cut
                finals[number] = np.array(after)  # some write all they show into one array
                after, _ = env.reset()
            seen[number] = after
        return seen, rewards, terminated, truncated, {"final_obs": finals} if finals else {}
