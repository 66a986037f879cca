"""own: nets and tasks that users define in a script, a notebook or a module of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Builder = TypeVar("Builder", bound=Callable[..., Any])
NETS: dict[str, Callable[..., Any]] = {}
"""Builders by `module:name`."""
TASKS: dict[str, Any] = {}
"""Tasks by `module:name`."""


def net(builder: Builder, /) -> Builder:
    """Registers a function `(*, in_shape, num_outputs, ...) -> nn.Module` as the net `module:name`.

    It can be named in an option by that address, or by its bare name from the same session.
    """
    NETS[f"{builder.__module__}:{builder.__name__}"] = builder
    return builder


def task(thing: type, /) -> type:
    """Registers a class of the form of `core.protocols.Task` as the task `module:name`."""
    TASKS[f"{thing.__module__}:{thing.__name__}"] = thing()
    return thing


def net_address(name: str) -> str:
    """The full address of a net that was registered in this session under a bare name."""
    return next((address for address in NETS if address.endswith(f":{name}")), name)
