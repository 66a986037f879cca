"""ranks: which of the processes that train together this one is, and what they must agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from lichen.core import peers
from lichen.core.errors import UsageError

Found = TypeVar("Found")

NEAR = 1e-5
"""Nets of unlike accelerators may differ by rounding; nets that learnt by themselves differ by far more."""


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) without torch.distributed, or aside of it."""
    if distributed.is_available() and distributed.is_initialized() and not peers.is_aside():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def told(thing: Any) -> Any:
    """What the first rank says, in every rank."""
    things = [thing]
    distributed.broadcast_object_list(things, device=torch.device("cpu"))
    return things[0]


def agreed(work: Callable[[], Found]) -> Found:
    """What the first rank computes; the others wait for it.

    Their figures may differ in the last bits, and then one would stop where another goes on.
    """
    rank, world = ranks()
    if world == 1:
        return work()
    return told(work() if rank == 0 else None)


def require_one_net(parameters: Iterable[Tensor]) -> None:
    """Refuses ranks that have learnt different nets.

    Raises:
        UsageError: the weights differ; gradients were not shared.
    """
    if ranks()[1] == 1:
        return
    size = torch.stack([parameter.detach().double().abs().sum() for parameter in parameters]).sum()
    ends = torch.stack([size, -size])
    distributed.all_reduce(ends, op=distributed.ReduceOp.MAX)
    largest, smallest = ends[0].item(), -ends[1].item()
    if largest - smallest > NEAR * largest:
        raise UsageError(
            "the processes that train together have learnt different weights",
            hint="a loss must ask the net itself, `module(x)`, not one of its parts",
        )
