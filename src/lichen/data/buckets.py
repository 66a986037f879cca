"""buckets: batches of pairs of like length, each of as many tokens as the others, so that little is padding.

Rows lie in the order of their targets' lengths, of equal ones in that of their sources' with some chance,
anew in each epoch; they are cut where a batch is full, and the batches are shuffled. All is a function of
(seed, epoch), and the number of batches is the same in each.

Shapes: N rows of the split, B rows of a batch, P batches of an epoch, L numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from lichen.data import draws, pairing
from lichen.data.batches import Batch
from lichen.data.pairing import Pairs

JITTER = 2.0
"""Tokens by which a source may seem longer than it is: who meets whom in a batch stays a matter of chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Buckets:
    """The batches of a split of pairs.

    Args:
        batch_size: rows of a batch if all were of the mean length, over all ranks.
        rank: this process among `world`; it takes every world-th row of each batch.
    """

    rows: Pairs
    batch_size: int
    seed: int = 0
    device: str = "cpu"
    rank: int = 0
    world: int = 1
    ends: np.ndarray = field(init=False)
    """int64 (P,): where in the order of an epoch each batch ends."""

    def __post_init__(self) -> None:
        told_N = np.sort(self.rows.lengths()[:, 1])
        object.__setattr__(self, "ends", _ends(told_N, self.batch_size * float(told_N.mean()), self.world))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.ends)

    def order(self, epoch: int) -> np.ndarray:
        """int64 (N,): the rows of an epoch by length, those of like length in an order of chance."""
        places, (source_N, target_N) = np.arange(self.rows.num_rows), self.rows.lengths().T
        chance_N1 = draws.uniforms(places, np.zeros(1, np.int64), seed=self.seed, epoch=epoch)
        return np.lexsort((source_N + JITTER * chance_N1[:, 0], target_N))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Every step's batch from `start` on: rows int32 (B, L), cut to the longest text of the batch."""
        batches = np.split(self.order(number), self.ends[:-1])
        hashes_P = draws.hashes(-1 - np.arange(len(batches)), seed=self.seed, epoch=number)
        for turn in np.argsort(hashes_P, kind="stable").tolist()[start:]:
            chosen = batches[turn][self.rank :: self.world]
            rows = torch.from_numpy(np.ascontiguousarray(pairing.cut(self.rows.batch(chosen))))
            ids = torch.from_numpy(self.rows.ids[chosen].view(np.int64).copy())
            yield Batch(
                rows.to(self.device), torch.zeros(len(chosen), device=self.device), ids.to(self.device)
            )


def _ends(told_N: np.ndarray, room: float, fewest: int) -> np.ndarray:
    """Where batches end of rows in ascending length: rows x longest <= room, but `fewest` rows at least."""
    begins = [0]
    for row, length in enumerate(told_N.tolist()):
        if row - begins[-1] >= fewest and (row + 1 - begins[-1]) * length > room:
            begins.append(row)
    if len(begins) > 1 and len(told_N) - begins[-1] < fewest:
        begins.pop()
    return np.array([*begins[1:], len(told_N)], np.int64)
