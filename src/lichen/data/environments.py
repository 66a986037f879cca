"""environments: copies of an environment stepped at once, however it begins anew after an episode.

Gymnasium's vector environments reset a copy in the step after its last one, in the same step, or when told.
Here all three look alike: every step says what really came next, and which rows are steps at all.

Shapes: N copies, O numbers of an observation, A numbers of an action.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lichen.core import find
from lichen.core.environment import ARCADE, BOARDS, LIBRARY, Environment
from lichen.core.errors import LichenError, StepError, UsageError, missing_package
from lichen.data import makers

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
except ImportError:
    raise missing_package("gymnasium", "control") from None

from lichen.data.turns import Turns

LIMIT = "max_episode_steps"
GAMES = "pettingzoo/"
"""What the names of board games begin with."""
CONSOLE = "ALE/"
"""What the names of a console's games begin with."""
PICTURES = "rgb_array"
"""How Gymnasium calls drawing into an array."""
Env = gymnasium.Env
SEED_BITS, MOST_COPIES = 29, 4096
BANDS = {"train": 0, "validation": 2, "test": 3}
"""Seeds of a split lie in a band of their own, told by the two highest of 31 bits."""


class Step(NamedTuple):
    """What one action in every copy led to.

    Args:
        nexts: (N, ...): what was seen after it, also where an episode ended with it.
        truncated: (N,): cut off from outside: more would have come, and its value counts.
        is_real: (N,): whether it was a step of an episode; a copy that only began anew made none.
    """

    nexts: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    is_real: np.ndarray


class Copies:
    """Copies of an environment; `observations` (N, ...) is what each sees now."""

    def __init__(self, vector: VectorEnv) -> None:
        self.vector = vector
        self.num = vector.num_envs
        self.mode = _mode_of(vector)
        space = vector.single_action_space
        self.first_action = int(space.start) if isinstance(space, spaces.Discrete) else None
        # a copy in Python takes its own numbers quicker than numpy's: a tenth of a step of LunarLander
        self._is_listed = isinstance(vector, SyncVectorEnv) and self.first_action is not None
        self.observations = np.zeros(0)
        self._ended = np.zeros(self.num, bool)
        self._whole = np.ones(self.num, bool)

    def reset(self, seed: int) -> None:
        """Begins an episode in every copy; what happens from here on is a function of the seed."""
        self._ended = np.zeros(self.num, bool)
        self.observations = self._seen(self.vector.reset(seed=seed)[0])

    def step(self, actions: np.ndarray) -> Step:
        """Takes one action in every copy.

        Args:
            actions: int (N,) counted from 0, or float (N, A).
        """
        given = actions if self.first_action is None else actions + self.first_action
        observed, rewards, terminated, truncated, infos = self.vector.step(
            given.tolist() if self._is_listed else given
        )
        seen = self._seen(observed)
        ended = terminated | truncated
        nexts, is_real = seen, self._whole
        if self.mode is AutoresetMode.NEXT_STEP:
            is_real = ~self._ended
        elif ended.any() and self.mode is AutoresetMode.SAME_STEP:
            nexts = _with_finals(seen, ended, infos)
        elif ended.any():
            seen = self._seen(self.vector.reset(options={"reset_mask": ended.copy()})[0])
        self.observations, self._ended = seen, ended
        return Step(nexts, np.asarray(rewards, np.float32), terminated, truncated & ~terminated, is_real)

    def rest(self, is_resting_N: np.ndarray) -> None:
        """Spares steps of copies that nobody watches, until all begin anew; a native vector takes them."""
        if isinstance(self.vector, Turns):
            self.vector.rest(is_resting_N)

    def _seen(self, observed: Any) -> np.ndarray:
        return as_seen(observed)

    def close(self) -> None:
        self.vector.close()


def as_seen(observed: Any) -> np.ndarray:
    """A copy, as policies take it: some environments write every step into the same array."""
    found = np.array(observed)
    return found if found.dtype == np.uint8 else found.astype(np.float32, copy=False)


def as_given(env: Env, action: np.ndarray) -> Any:
    """An action as one copy takes it: a discrete one by its own number."""
    return int(action) + int(getattr(env.action_space, "start", 0)) if action.ndim == 0 else action


def drawn(environment: Environment) -> Env:
    """One copy that draws pictures of itself.

    Raises:
        UsageError: it draws none, or what it draws with is not there.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = makers.maker(environment, render_mode=PICTURES)()
            env.reset(seed=0)
            env.render()
        return env
    except _faults_of_drawing() as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"`{environment.address}` draws no pictures here: {said}") from None


def _faults_of_drawing() -> tuple[type[Exception], ...]:
    """MuJoCo has one of its own where no screen is; it is there only if an environment brought it."""
    found = sys.modules.get("mujoco")
    return (LichenError, *makers.FAULTS, *([found.FatalError] if found else []))


def _mode_of(vector: VectorEnv) -> AutoresetMode:
    mode = vector.metadata.get("autoreset_mode")
    if not isinstance(mode, AutoresetMode):
        raise UsageError(
            "a vector environment must say how its copies begin anew; "
            f"`{type(vector).__name__}` says {mode!r}",
            hint='metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}',
        )
    return mode


def _with_finals(seen: np.ndarray, ended: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray:
    """What ended copies saw last, in place of what they see after they began anew."""
    if "final_obs" not in infos:
        raise StepError("an environment that begins anew in the same step must give `final_obs`")
    nexts = seen.copy()
    for copy in np.flatnonzero(ended):
        nexts[copy] = infos["final_obs"][copy]
    return nexts


def seed_of(split: str, number: int) -> int:
    """A seed of a split by any whole number; copies take the seeds after it, and none is another split's."""
    return (BANDS[split] << SEED_BITS) + number % ((1 << SEED_BITS) - MOST_COPIES)


def copies(environment: Environment, num: int) -> Copies:
    """So many copies: by the environment's own vector form where it has one, else one after the other."""
    native = makers.native(environment, num)
    if native is not None:
        return Copies(native)
    one = makers.maker(environment)
    return Copies(makers.told(environment.address, lambda: Turns([one] * num)))


def look_at(
    name: str,
    options: Mapping[str, Any],
    wrappers: Sequence[Mapping[str, Any]],
    max_steps: int | None = None,
) -> Environment:
    """The value of an environment, after one was built and its spaces were read.

    Pictures whose channels come last are turned, by a wrapper that stands among the others.

    Args:
        max_steps: after so many an episode is cut off; None: as the environment says.

    Raises:
        NotFoundError: no such environment or wrapper.
        OptionError: it does not take these options.
        UsageError: its actions are neither discrete nor a box of finite bounds.
    """
    if name.startswith(GAMES):
        name, options = f"{BOARDS}:Board", {"game": name.removeprefix(GAMES), **options}
    if name.startswith(CONSOLE):
        game = find.load(f"{ARCADE}:game_of")(name)
        name, options = f"{ARCADE}:Arcade", {"game": game, **options}
    address = makers.address_of(name)
    if max_steps is not None and address == f"{ARCADE}:Arcade":
        options = {**options, "max_steps": max_steps}
    elif max_steps is not None and address.startswith(LIBRARY):
        options = {**options, LIMIT: max_steps}
    elif max_steps is not None:
        wrappers = [{"name": "TimeLimit", "options": {LIMIT: max_steps}}, *wrappers]
    found = _looked_at(address, options, wrappers)
    if not makers.has_channels_last(found.observation):
        return found
    return _looked_at(address, options, [*wrappers, {"name": makers.CHANNELS_FIRST, "options": {}}])


def _looked_at(
    address: str, options: Mapping[str, Any], wrappers: Sequence[Mapping[str, Any]]
) -> Environment:
    told: dict[str, Any] = {"address": address, "options": options, "wrappers": wrappers}
    blank = Environment.build(**told, observation={}, action={})
    made = copies(blank, 1)
    try:
        seen = made.vector.single_observation_space
        action = _action(made.vector.single_action_space)
        assert seen.shape is not None
        dtype = "uint8" if seen.dtype == np.uint8 else "float32"
        return Environment.build(
            **told, observation={"shape": list(seen.shape), "dtype": dtype}, action=action
        )
    finally:
        made.close()


def _action(space: spaces.Space) -> dict[str, Any]:
    if isinstance(space, spaces.Discrete):
        return {"num": int(space.n)}
    if isinstance(space, spaces.Box) and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        low, high = (bound.astype(np.float64).reshape(-1).tolist() for bound in (space.low, space.high))
        return {"low": low, "high": high}
    raise UsageError(f"actions must be discrete, or continuous within finite bounds, not {space}",
                     hint="a wrapper of the environment can say them otherwise")  # fmt: skip
