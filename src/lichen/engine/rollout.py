"""rollout: an agent acts in all copies of an environment for some steps, and what happened is kept.

Shapes: T steps, N copies, S = T * N in the order of time, O numbers of an observation, A of an action.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.data import environments
from lichen.data.environments import Copies

LONGEST = 1_000_000
"""Steps after which an episode is taken for one that never ends."""
Act = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""(what the copies see, the number of the step) -> the actions to take, and as the learner calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What happened: `seen` led by `actions` to `nexts`, which is never of another episode.

    Args:
        actions: as the learner calls them, (T, N) or (T, N, A).
        terminated: nothing more was to come: what follows is worth nothing.
        ended: terminated or cut off: what follows in time belongs to another episode.
        is_real: False where a copy only began anew: no row to learn from.
        returns: undiscounted, of the episodes that ended, in the order of time; lengths: theirs.
    """

    seen: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    nexts: np.ndarray
    terminated: np.ndarray
    ended: np.ndarray
    is_real: np.ndarray
    returns: list[float]
    lengths: list[int]

    @property
    def num_steps(self) -> int:
        return self.rewards.size

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the rows to learn from are."""
        parts = [part.reshape(*self.is_real.shape, -1) for part in (self.rewards, self.seen, self.nexts)
                 if part.dtype != np.uint8]  # fmt: skip
        return all(bool((np.isfinite(part).all(2) | ~self.is_real).all()) for part in parts)

    def real(self) -> np.ndarray:
        """int64: the numbers of the rows to learn from, steps and copies flattened."""
        return np.flatnonzero(self.is_real)


class Stage:
    """The copies that one learner acts in, and how their episodes stand."""

    def __init__(self, environment: Environment, num: int) -> None:
        self.copies: Copies = environments.copies(environment, num)
        self.num = num
        self._earned_N, self._lasted_N = np.zeros(num), np.zeros(num, np.int64)

    def reset(self, seed: int) -> None:
        self.copies.reset(seed)
        self._earned_N, self._lasted_N = np.zeros(self.num), np.zeros(self.num, np.int64)

    def rollout(self, act: Act, num_steps: int) -> Rollout:
        """Acts for so many steps, from where the last rollout ended."""
        copies, first = self.copies, self.copies.observations
        seen = np.empty((num_steps, *first.shape), first.dtype)
        nexts = np.empty_like(seen)
        rewards = np.empty((num_steps, self.num), np.float32)
        terminated, truncated, is_real = (np.empty((num_steps, self.num), bool) for _ in range(3))
        called = []
        for step in range(num_steps):
            seen[step] = copies.observations
            taken, kept = act(copies.observations, step)
            called.append(kept)
            nexts[step], rewards[step], terminated[step], truncated[step], is_real[step] = copies.step(taken)
        ended = terminated | truncated
        returns, lengths = self._told(rewards, ended, is_real)
        return Rollout(seen=seen, actions=np.stack(called), rewards=rewards, nexts=nexts, ended=ended,
                       terminated=terminated, is_real=is_real, returns=returns, lengths=lengths)  # fmt: skip

    def _told(
        self, rewards: np.ndarray, ended: np.ndarray, is_real: np.ndarray
    ) -> tuple[list[float], list[int]]:
        """Returns and lengths of the episodes that ended; those of the others are carried on."""
        earned_TN = np.cumsum(rewards * is_real, 0, dtype=np.float64) + self._earned_N
        lasted_TN = np.cumsum(is_real, 0) + self._lasted_N
        returns, lengths = [], []
        paid_N, spent_N = np.zeros(self.num), np.zeros(self.num, np.int64)
        for step, copy in zip(*np.nonzero(ended), strict=True):
            returns.append(float(earned_TN[step, copy] - paid_N[copy]))
            lengths.append(int(lasted_TN[step, copy] - spent_N[copy]))
            paid_N[copy], spent_N[copy] = earned_TN[step, copy], lasted_TN[step, copy]
        self._earned_N, self._lasted_N = earned_TN[-1] - paid_N, lasted_TN[-1] - spent_N
        return returns, lengths

    def close(self) -> None:
        self.copies.close()


def first_episodes(
    copies: Copies, greedy: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float64 (N,) and lengths int32 (N,) of the episode that each copy begins now.

    Raises:
        UsageError: one does not end.
    """
    earned_N, lasted_N = np.zeros(copies.num), np.zeros(copies.num, np.int32)
    goes_on_N = np.ones(copies.num, bool)
    while goes_on_N.any():
        happened = copies.step(greedy(copies.observations))
        earned_N += happened.rewards * goes_on_N
        lasted_N += goes_on_N
        ended_N = happened.terminated | happened.truncated
        if (ended_N & goes_on_N).any():
            goes_on_N &= ~ended_N
            copies.rest(~goes_on_N)
        if lasted_N.max() > LONGEST:
            raise UsageError(f"an episode must end; one goes on after {LONGEST} steps",
                             hint="environment: {id: ..., max_steps: 1000}")  # fmt: skip
    return earned_N, lasted_N


def flat(rows: np.ndarray) -> np.ndarray:
    """(T, N, ...) -> (S, ...)."""
    return rows.reshape(-1, *rows.shape[2:])


def generator(seed: int) -> np.random.Generator:
    """Draws of one rollout or update, a function of the seed alone."""
    return np.random.Generator(np.random.Philox(seed))


def figures_of(returns: list[float], lengths: list[int]) -> Mapping[str, Any]:
    """What the history says of episodes that ended; nothing where none did."""
    if not returns:
        return {}
    return {"training_return": float(np.mean(returns)), "episode_length": float(np.mean(lengths))}
