"""balance: as much of a rare class as of a common one: by what its rows count, or by how often they come.

Shapes: N rows, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lichen.data import draws


def class_weights(targets_N: Tensor, num_classes: int) -> Tensor:
    """float32 (K,): N / (K n_k): classes count alike, rows 1 on average; K is how many classes occur."""
    counts_K = torch.bincount(targets_N, minlength=num_classes)
    present_K = counts_K > 0
    weights_K = len(targets_N) / (present_K.sum() * counts_K.clamp(min=1)).float()
    return torch.where(present_K, weights_K, torch.zeros_like(weights_K))


def turns(targets_N: Tensor, *, seed: int, epoch: int) -> Tensor:
    """int64 (N,): the rows of an epoch in which every class comes equally often, to within one row.

    Rows of a common class take turns over the epochs; those of a rare one come again, each as often as the
    others to within one. A row that comes for the c-th time stands as `row + c N`.
    """
    num_rows = len(targets_N)
    classes = torch.unique(targets_N)
    share, rest = divmod(num_rows, len(classes))
    found = []
    for place, label in enumerate(classes):
        rows = (targets_N == label).nonzero()[:, 0]
        wanted = share + ((place - epoch) % len(classes) < rest)
        rounds = -(-wanted // len(rows))
        drawn = [_shuffled(rows + again * num_rows, seed=seed, epoch=epoch) for again in range(rounds)]
        found.append(torch.cat(drawn)[:wanted])
    together = torch.cat(found)
    # Another hash than the one that chose: those would come first that were chosen first.
    order = torch.argsort(draws.mix(draws.hashes(together, seed=seed, epoch=epoch)), stable=True)
    return together[order]


def _shuffled(numbers: Tensor, *, seed: int, epoch: int) -> Tensor:
    return numbers[torch.argsort(draws.hashes(numbers, seed=seed, epoch=epoch), stable=True)]
