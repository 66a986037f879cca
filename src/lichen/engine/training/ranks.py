"""ranks: which of the processes that train together this one is."""

from __future__ import annotations

from torch import distributed


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) without torch.distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
