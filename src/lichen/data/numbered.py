"""numbered: what splits of texts and tables share once they are rows of numbers, however these lie.

Where the whole split fits into memory it is made once per process, else rows are made as they are asked for.

Shapes: N rows of the split, B rows asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from lichen.data import stored

Found = TypeVar("Found")
NUMBER_BYTES = 4


class Numbered(ABC):
    """One split of texts, or of a table, as rows of so many numbers each."""

    __slots__ = ()
    rows: Any
    length: int

    @property
    @abstractmethod
    def num_rows(self) -> int: ...

    @property
    @abstractmethod
    def num_numbers(self) -> int:
        """Of a row."""

    @property
    @abstractmethod
    def reading(self) -> str:
        """The digest of what reads them as numbers."""

    @abstractmethod
    def made(self, chosen: np.ndarray) -> np.ndarray:
        """int32 or float32 (B, ...) of some rows."""

    def all_made(self) -> np.ndarray:
        """int32 (N, ...)."""
        return self.made(np.arange(self.num_rows))

    @property
    def split(self) -> str:
        return self.rows.split

    @property
    def is_uniform(self) -> bool:
        return True

    def fits(self, size: int | None = None) -> bool:
        """Whether the whole split may stay in memory."""
        return NUMBER_BYTES * self.num_numbers * self.num_rows <= stored.RESIDENT_BYTES

    def whole(self, size: int | None = None) -> np.ndarray:
        """int32 (N, ...), made once per process: to be read, never written."""
        return self.kept("rows", self.all_made, self.length)

    def batch(self, indices: Any, size: int | None = None) -> np.ndarray:
        """int32 (B, ...) of some rows."""
        chosen = np.asarray(indices, dtype=np.int64)
        return self.whole()[chosen] if self.fits() else self.made(chosen)

    def kept(self, what: str, make: Callable[[], Found], *about: Any) -> Found:
        """What is made of the split once per process.

        Args:
            about: what it depends on beside the texts and how they are read.
        """
        key = type(self).__name__, self.rows.identity, self.split, self.reading, what, *about
        return stored.KEPT.made(key, make)
