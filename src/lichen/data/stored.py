"""stored: the rows of a split as they lie, whatever they hold: places, digests, targets.

Every row is checked against its digest when it is read.

Shapes: N rows of the split.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lichen.core.errors import DataError
from lichen.data.scan import Located, content_of

RESIDENT_BYTES = 2_000_000_000
"""Decoded rows kept in one process, all splits together."""


class Sized(Protocol):
    """What knows how much memory it takes."""

    @property
    def nbytes(self) -> int: ...


class Kept:
    """Decoded splits by key, the least recently used dropped first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.entries: OrderedDict[Any, Sized] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: Any) -> Any:
        with self.lock:
            if key in self.entries:
                self.entries.move_to_end(key)
            return self.entries.get(key)

    def made(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is held, or else is made and held from now on."""
        if (found := self.get(key)) is None:
            found = make()
            self.put(key, found)
        return found

    def put(self, key: Any, held: Sized) -> None:
        with self.lock:
            self.entries[key] = held
            while (
                len(self.entries) > 1
                and sum(kept.nbytes for kept in self.entries.values()) > self.limit_bytes
            ):
                self.entries.popitem(last=False)


KEPT = Kept(RESIDENT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Stored:
    """One split of a Dataset.

    Args:
        identity: of the split's rows, under which what was decoded is kept.
        targets: int64 (N,); -1 where the rows have no labels.
        ids: uint64 (N,); equal contents have equal ids.
    """

    split: str
    identity: str
    reader: Any
    located: Located
    digests: np.ndarray
    targets: np.ndarray
    ids: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.targets)

    def __len__(self) -> int:
        return self.num_rows

    def describe(self, row: int) -> str:
        """The file and place of a row, as errors show it."""
        return self.located.describe(row)

    def encoded(self, indices: Any) -> list[bytes] | np.ndarray:
        """Rows as stored, checked against their digests: bytes, or uint8 (B, C, H, W) of plain pixels."""
        chosen = np.asarray(indices, dtype=np.int64)
        found = self.reader.fetch(self.located, chosen)
        for row, item in zip(chosen.tolist(), found, strict=True):
            if content_of(item)[:8] != self.digests[row, :8].tobytes():
                raise DataError(
                    "this row has changed since it was loaded", where=self.describe(row),
                    hint="load the data again; keep=True keeps a copy of the rows",
                )  # fmt: skip
        return found
