"""environment: find an environment by its id, wrap it, and read what can be seen and done in it."""

from __future__ import annotations

from lichen.core.environment import Environment
from lichen.core.errors import OptionError
from lichen.core.schema import Count
from lichen.core.step import step
from lichen.data import environments


@step(splits=())
def environment(
    *,
    id: str,
    options: dict | None = None,
    max_steps: Count | None = None,
    wrappers: list[dict] | None = None,
) -> Environment:
    """Names what an agent will act in.

    Args:
        id: a registered id of Gymnasium such as CartPole-v1 or minigrid:MiniGrid-FourRooms-v0, a board game
            such as pettingzoo/connect_four_v3, or a class of yours, `module:Env`.
        options: what the environment is made with, such as {"g": 9.81}.
        max_steps: after so many steps an episode is cut off; None: as the environment says.
        wrappers: of gymnasium.wrappers or `module:Wrapper`, the innermost first, each with its options:
            {"ClipReward": {"max_reward": 1}}. Bytes are taken for pictures, and learnt from as shares of 255;
            {"DtypeObservation": {"dtype": "float32"}} makes numbers of those that are none. Pictures whose
            channels come last are turned: nets take channels first.
    """
    return environments.look_at(id, options or {}, [_wrapper(one) for one in wrappers or ()], max_steps)


def _wrapper(given: dict) -> dict:
    """`{"ClipReward": {...}}` -> its name and options."""
    if len(given) == 1:
        ((name, options),) = given.items()
        if isinstance(name, str) and isinstance(options, dict | None):
            return {"name": name, "options": options or {}}
    raise OptionError(f"a wrapper must be one name with its options, not {given!r}"[:200],
                      hint='{"ClipReward": {"max_reward": 1.0}}')  # fmt: skip
