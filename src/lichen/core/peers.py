"""peers: processes that live one life together: the first keeps the record, all of them train.

`torchrun` starts them and says in the environment who is who. They meet at the first step that a store is
to remember: the first process looks it up. What is found, and what trains nothing, it settles by itself and
the others read it from the store; a training is run by all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lichen.core import find
from lichen.core.errors import StepError, UsageError

TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")
"""What torchrun says of each process."""
ALONE = "LICHEN_ALONE"
"""Set by a process that has met its peers: its children inherit the rest, and are not among them."""
TRAINS = "lichen.engine.fit"
"""A step whose code leads there is run by all."""


class Group(Protocol):
    """What joins processes. It is reached by name: core knows no framework."""

    rank: int
    world: int

    def told(self, thing: Any) -> Any:
        """What the first process has to say; the others' own argument is not read."""
        ...

    def leave(self) -> None: ...


@dataclass(slots=True)
class _Here:
    """This process among its peers."""

    group: Group | None = None
    num_aside: int = 0


_here = _Here()


def are_called() -> bool:
    """Whether this process was started as one of several that have not met yet."""
    is_told = all(name in os.environ for name in TOLD) and ALONE not in os.environ
    return is_told and int(os.environ["WORLD_SIZE"]) > 1


def follows() -> bool:
    """Whether another process keeps the record of what this one does."""
    if _here.group is not None:
        return _here.group.rank > 0
    return are_called() and os.environ["RANK"] != "0"


def require_life(verb: str) -> None:
    """Refuses what several processes cannot do together.

    Raises:
        UsageError: they were started for another verb than `run`.
    """
    if are_called() and verb != "run":
        raise UsageError(f"torchrun is for `lichen run`; one process is enough for `{verb}`",
                         hint=f"lichen {verb}")  # fmt: skip


def met(device: Callable[[], str]) -> Group | None:
    """The group to agree with on a step, met at the first call; None: this process is on its own.

    Args:
        device: says where tensors live.
    """
    if _here.group is None and are_called():
        _here.group = find.load("lichen.engine.training.group:join")(device())
        os.environ[ALONE] = "1"
    return here()


def here() -> Group | None:
    """The group that this process works with at the moment."""
    return None if _here.num_aside else _here.group


def is_aside() -> bool:
    """Whether the first process does something that the others wait for or need not know."""
    return _here.num_aside > 0


def num_beside() -> int:
    """How many of the group share the cores of this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", _here.group.world)) if _here.group else 1


@contextmanager
def aside() -> Iterator[None]:
    """While it lasts this process works as if it were the only one."""
    _here.num_aside += 1
    try:
        yield
    finally:
        _here.num_aside -= 1


def settled(work: Callable[[], Any], told: Callable[[Any], Any] = lambda found: found) -> Any:
    """What the first process finds out while the others wait for it; on its own: what `work` says.

    Args:
        told: what of it the others hear.

    Raises:
        StepError: in the others, when it failed there.
    """
    group = here()
    if group is None:
        return work()
    if group.rank > 0:
        return heard(group)
    try:
        with aside():
            found = work()
            said = {"found": told(found)}
    except Exception as error:
        group.told({"failed": str(error)})
        raise
    group.told(said)
    return found


def heard(group: Group) -> Any:
    """What the first process says to one of the others.

    Raises:
        StepError: that it failed.
    """
    said = group.told(None)
    if "failed" in said:
        raise StepError(f"the first process could not go on: {said['failed']}")
    return said["found"]


def leave() -> None:
    """Parts from the others: what follows is this process's own."""
    if _here.group is not None:
        group, _here.group = _here.group, None
        group.leave()
