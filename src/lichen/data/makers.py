"""makers: how copies of an environment are built, of its name, its options and its wrappers.

A name is an id of Gymnasium's, or `module:Env` of a user's own. It may come in a file from anywhere, so only
what is an environment or a wrapper is ever called.
"""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lichen.core import find
from lichen.core.environment import LIBRARY, Environment, package_of
from lichen.core.errors import (
    LichenError,
    MachineError,
    NotFoundError,
    OptionError,
    UnsafeInputError,
    UsageError,
    missing_package,
    nearest,
)  # fmt: skip

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import VectorEnv
except ImportError:
    raise missing_package("gymnasium", "control") from None

REGISTERED = re.compile(r"([\w.]+:)?[\w./-]*-v\d+")
"""How Gymnasium writes ids; a module may stand before one, to be imported first."""
OUTSIDE = {"RecordVideo", "HumanRendering"}
"""Wrappers that do something beside: a value may come in a file from anywhere."""
COUNTING = {"NormalizeObservation", "NormalizeReward"}
"""Wrappers whose figures grow while an agent learns; neither its policy nor another copy has them."""
EXTRAS = {"Box2D": "box2d", "mujoco": "mujoco", "minigrid": "maze", "ale_py": "atari", "pettingzoo": "boards"}
"""What brings the packages that environments are of."""
MOST_CHANNELS = 4
"""Three colours and how opaque they are: what has more last is no picture whose channels come last."""
CHANNELS_FIRST = "lichen.data.makers:ChannelsFirst"
FAULTS = (TypeError, ValueError, AttributeError, KeyError, RuntimeError, AssertionError, OSError, ImportError,
          gymnasium.error.Error)  # fmt: skip
"""What environments raise that cannot be built or drawn; they are others' code."""


class ChannelsFirst(gymnasium.ObservationWrapper):
    """Pictures as nets take them, channels before height and width."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        seen = env.observation_space
        self.observation_space = spaces.Box(
            self.observation(seen.low), self.observation(seen.high), dtype=seen.dtype
        )

    def observation(self, observation: Any) -> np.ndarray:
        return np.moveaxis(np.asarray(observation), -1, 0)


def has_channels_last(observation: Mapping[str, Any]) -> bool:
    """Whether what is seen are pictures with few channels, that come after height and width."""
    shape = observation["shape"]
    return observation["dtype"] == "uint8" and len(shape) == 3 and shape[-1] <= MOST_CHANNELS < shape[0]


def address_of(name: str) -> str:
    """`CartPole-v1` -> `gymnasium/CartPole-v1`; a user's `module:Env` stays.

    Raises:
        NotFoundError: it is neither.
    """
    name = name.removeprefix(LIBRARY)
    if REGISTERED.fullmatch(name):
        return LIBRARY + name
    if ":" in name:
        return name
    raise NotFoundError(f"unknown environment `{name}`", hint=_near(name))


def _near(name: str) -> str:
    known = [known for known in gymnasium.registry if "/" not in known]
    return nearest(name, known) or "an id of Gymnasium such as CartPole-v1, or module:Env"


def native(environment: Environment, num: int) -> VectorEnv | None:
    """The environment's own vector form; None where it has none, or none that takes what was asked for."""
    if environment.wrappers or not environment.address.startswith(LIBRARY):
        return _users_vector(environment, num)
    spec = _spec(environment.address)
    entry = spec.vector_entry_point
    if entry is None or spec.additional_wrappers:
        return None
    builder = find.load(entry) if isinstance(entry, str) else entry
    known = inspect.signature(builder).parameters
    if not set(environment.options) <= set(known):
        return None
    name, options = environment.address.removeprefix(LIBRARY), environment.options
    return told(environment.address, lambda: gymnasium.make_vec(name, num_envs=num, **options))


def _users_vector(environment: Environment, num: int) -> VectorEnv | None:
    if environment.wrappers or environment.address.startswith(LIBRARY):
        return None
    kind = _users_own(environment.address)
    if not (isinstance(kind, type) and issubclass(kind, VectorEnv)):
        return None
    return told(environment.address, lambda: kind(**{"num_envs": num, **environment.options}))


def _spec(address: str) -> Any:
    name = address.removeprefix(LIBRARY)
    module, colon, bare = name.partition(":")
    try:
        if colon:
            _loaded(module)
        return gymnasium.spec(bare or name)
    except gymnasium.error.Error as error:
        _require(package_of(address) or "")
        raise NotFoundError(f"unknown environment `{name}`: {error}", hint=_near(bare or name)) from None


def _users_own(address: str) -> Any:
    """The class or function of the user's at `module:Env`.

    Raises:
        UnsafeInputError: it is something else; an environment may come in a file from anywhere.
    """
    target = _loaded(address)
    is_env = isinstance(target, type) and issubclass(target, gymnasium.Env | VectorEnv)
    if not is_env:
        raise UnsafeInputError(f"`{address}` must be a class of gymnasium.Env or VectorEnv")
    return target


def _loaded(address: str) -> Any:
    """What stands at an address, unless it is a part of Python: importing some of that does things."""
    if address.partition(":")[0].partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        raise UnsafeInputError(f"`{address}` is a part of Python, not an environment")
    _require(address.partition(":")[0].partition(".")[0])
    return find.load(address)


def _require(package: str) -> None:
    """Names what brings a package that is known and not there, before a hint speaks of folders or ids."""
    if package in EXTRAS and find.file_of(package) is None:
        raise missing_package(package, EXTRAS[package])


def maker(environment: Environment, render_mode: str | None = None) -> Callable[[], Any]:
    """What builds one copy, wrapped."""
    address, plain = environment.address, dict(environment.options)
    options = plain | ({"render_mode": render_mode} if render_mode else {})
    wrappers = [(_wrapper(one["name"]), dict(one["options"])) for one in environment.wrappers]
    if address.startswith(LIBRARY):
        _spec(address)
        build = lambda: gymnasium.make(  # noqa: E731
            address.removeprefix(LIBRARY), disable_env_checker=True, **options
        )  # its checks are of the first step, but it is asked at every one
    else:
        kind = _users_own(address)
        if not issubclass(kind, VectorEnv):
            build = lambda: kind(**options)  # noqa: E731
        elif hasattr(kind, "one"):
            build = lambda: kind.one(plain, render_mode)  # noqa: E731
        else:
            raise UsageError(
                f"`{address}` is a vector environment, which takes no wrappers"
                " (pictures need one whose channels come last)",
                hint="where it has a function one(options, render_mode), that builds a copy to be wrapped",
            )

    def made() -> Any:
        env = build()
        for wrapper, given in wrappers:
            env = wrapper(env, **given)
        is_box = isinstance(env.observation_space, spaces.Box)
        return env if is_box else gymnasium.wrappers.FlattenObservation(env)

    return made


def _wrapper(name: str) -> Any:
    found = _loaded(name) if ":" in name else getattr(gymnasium.wrappers, name, None)
    if not (isinstance(found, type) and issubclass(found, gymnasium.Wrapper)):
        raise NotFoundError(f"unknown wrapper `{name}`", hint=nearest(name, gymnasium.wrappers.__all__)
                            or "a class of gymnasium.wrappers, or module:Wrapper")  # fmt: skip
    kinds = {kind.__name__ for kind in found.__mro__ if kind.__module__.startswith("gymnasium.")}
    if kinds & OUTSIDE:
        raise UnsafeInputError(f"wrapper `{name}` writes files or opens windows", hint="leave it out")
    if kinds & COUNTING:
        raise UsageError(f"wrapper `{name}` counts for itself, and no policy would know its figures",
                         hint="normalise: true, an option of learners, goes with the policy")  # fmt: skip
    return found


def told(address: str, build: Callable[[], Any]) -> Any:
    """Builds, and says what is wrong in the words of the house."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build()
    except LichenError:
        raise
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        extra = EXTRAS.get(package_of(address) or "")
        raise MachineError(f"`{address}` needs a package that is not installed: {error}",
                           hint=f"pip install 'lichen[{extra}]'" if extra else None) from None  # fmt: skip
    except FAULTS as error:
        raise OptionError(f"`{address}` cannot be built with these options: {error}") from None
