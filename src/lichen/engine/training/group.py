"""group: joins the processes that torchrun started, over gloo, and over nccl where they have accelerators."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from lichen.core import peers
from lichen.core.errors import MachineError, UsageError
from lichen.engine.training import ranks

PATIENCE = timedelta(days=30)
"""The others wait for as long as the first one works; should it die, torchrun ends them."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The `peers.Group` of torch.distributed."""

    rank: int
    world: int
    is_own: bool
    """Whether it was joined here: what a script has joined is its own to leave."""

    def told(self, thing: Any) -> Any:
        return ranks.told(thing)

    def leave(self) -> None:
        if self.is_own and distributed.is_initialized():
            distributed.destroy_process_group()


def join(device: str) -> Joined:
    """Meets the others; an accelerator is then the one of this process.

    Raises:
        UsageError: there are fewer accelerators than processes.
        MachineError: this torch joins no processes, or they do not find each other.
    """
    if not distributed.is_available():
        raise MachineError("this torch was built without torch.distributed")
    if device != "cpu":
        _take_accelerator()
    is_own = not distributed.is_initialized()
    if is_own:
        backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
        try:
            distributed.init_process_group(backend, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise MachineError(f"the processes of torchrun do not find each other: {error}") from error
        atexit.register(peers.leave)
    return Joined(distributed.get_rank(), distributed.get_world_size(), is_own)


def _take_accelerator() -> None:
    place, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= count:
        raise UsageError(f"there are more processes than accelerators ({count}) on this machine",
                         hint=f"torchrun --nproc-per-node {count}, or --device cpu")  # fmt: skip
    torch.cuda.set_device(place)
