"""codes: what a generator is given, as a row of bytes: the class, then the quantile of each number of a code.

Bytes are what models take and files of programs say, so a generator is scored, exported and asked as any
other. The pictures of a split's rows are drawn by the rows' ids, each for the class of its row.

Shapes: N rows of the split, B rows asked for, Z numbers of a code, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import DataError, nearest
from lichen.data import draws
from lichen.data.encoder import Encoded
from lichen.data.images import Images

LEVELS = 256
"""Of a byte: as many classes at most, and as many values of a number."""


def typed(text: str, piped: bytes | None) -> list[Any]:
    """The inputs that a word of the command line means: a class, or `class#7` for its seventh picture."""
    return [text] if piped is None else piped.decode("utf-8", "replace").split()


def listed(inputs: Any) -> list[Any]:
    """The inputs one by one."""
    return list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]


def decoded(item: Any, where: str, assets: Mapping[str, Any]) -> np.ndarray:
    """uint8 (1, 1, 1 + Z) of a class by its label, of `label#number`, or of such bytes themselves.

    Raises:
        DataError: there is no such class; hints at the nearest.
    """
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.shape == tuple(assets["image_shape"]):
        return item
    text = str(item)
    # A class may have the sign in its name: C# is one, and C##7 means its seventh picture.
    is_numbered = text not in assets["labels"] and "#" in text
    label, _, number = text.rpartition("#") if is_numbered else (text, "", "")
    if label not in assets["labels"] or (number and not number.isdecimal()):
        raise DataError(f"an input must be a class, or class#number, not {str(item)[:80]!r}", where=where,
                        hint=nearest(label, assets["labels"]))  # fmt: skip
    ids = np.array([int(number or 0) % 2**62])
    return of_rows(ids, np.array([assets["labels"].index(label)]), assets["num_codes"])[0]


def of_rows(ids_N: np.ndarray, targets_N: np.ndarray, length: int) -> np.ndarray:
    """uint8 (N, 1, 1, 1 + Z): a code for each row, by its id."""
    uniform_NZ = draws.uniforms(ids_N.view(np.int64), np.arange(length), seed=0, epoch=0)
    bytes_NZ = (uniform_NZ * LEVELS).astype(np.uint8)
    return np.concatenate([targets_N[:, None].astype(np.uint8), bytes_NZ], 1)[:, None, None]


def inputs(batch: Tensor, num_classes: int) -> Tensor:
    """uint8 (B, 1, 1, 1 + Z) -> (B, K + Z): the class as one of K, then normal numbers."""
    bytes_BZ = batch.flatten(1).long()
    of_class_BK = bytes_BZ[:, :1] == torch.arange(num_classes, device=batch.device)
    return torch.cat([of_class_BK.float(), _quantiles(str(batch.device))[bytes_BZ[:, 1:]]], 1)


@lru_cache(maxsize=4)
def _quantiles(device: str) -> Tensor:
    """float32 (256,): the normal numbers in the middle of equally likely spans."""
    with torch.inference_mode(False):
        middle = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
        return torch.special.ndtri(middle).float().to(device)


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """One split as a generator is asked about it: a code per row; the targets are the real rows.

    Args:
        made_shape: (C, H, W) of pictures that are made.
    """

    rows: Images | Encoded
    length: int
    made_shape: Sequence[int] = ()

    @property
    def split(self) -> str:
        return self.rows.split

    @property
    def targets(self) -> np.ndarray:
        if isinstance(self.rows, Encoded):
            return self.rows.whole()
        side = self.made_shape[1]
        return self.rows.whole(None if self.rows.shape[1:] == (side, side) else side)

    @property
    def ids(self) -> np.ndarray:
        return self.rows.ids

    @property
    def num_rows(self) -> int:
        return self.rows.num_rows

    @property
    def is_uniform(self) -> bool:
        return True

    def describe(self, row: int) -> str:
        return self.rows.describe(row)

    def encoded(self, indices: Any) -> np.ndarray:
        """What the path that serves takes of some rows."""
        return self.batch(indices)

    def fits(self, size: int | None = None) -> bool:
        return True

    def whole(self, size: int | None = None) -> np.ndarray:
        """uint8 (N, 1, 1, 1 + Z)."""
        return of_rows(self.rows.ids, self.rows.targets, self.length)

    def batch(self, indices: Any, size: int | None = None) -> np.ndarray:
        chosen = np.asarray(indices, dtype=np.int64)
        return of_rows(self.rows.ids[chosen], self.rows.targets[chosen], self.length)
