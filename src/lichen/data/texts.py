"""texts: the texts of a split, each in UTF-8.

What fits in memory is read once per process and stays; larger splits are read as they are asked for.

Shapes: N rows of the split, B rows asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data import stored

SPAN_BYTES = 1_000_000
"""Read at a time where a whole split is walked through: what is made of it stays in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Texts end to end: row i is `data[ends[i] : ends[i + 1]]`."""

    data: bytes
    ends: np.ndarray

    @property
    def nbytes(self) -> int:
        return len(self.data) + self.ends.nbytes

    def take(self, rows: np.ndarray) -> list[bytes]:
        places = zip(self.ends[rows].tolist(), self.ends[rows + 1].tolist(), strict=True)
        return [self.data[start:end] for start, end in places]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Texts(stored.Stored):
    """One split of texts."""

    def __repr__(self) -> str:
        return f"Texts({self.split}: {self.num_rows}, {self.num_bytes} bytes)"

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows as they lie, markup of their files included."""
        return int(self.located.length.sum())

    def fits(self) -> bool:
        """Whether the whole split may stay in memory."""
        return self.num_bytes <= stored.RESIDENT_BYTES

    @property
    def texts(self) -> list[str]:
        """Every row, read once per process.

        Raises:
            DataError: a row is gone, changed, or no UTF-8; names it.
        """
        return self.batch(np.arange(self.num_rows))

    def batch(self, indices: Any) -> list[str]:
        """Some rows.

        Raises:
            DataError: a row is gone, changed, or no UTF-8; names it.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        found = self._packed().take(chosen) if self.fits() else self.encoded(chosen)
        return [self._text(data, row) for data, row in zip(found, chosen.tolist(), strict=True)]

    def parts(self, row: bytes) -> list[bytes]:
        """The texts that a row is made of."""
        return [row]

    def spans(self, chosen: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, list[bytes]]]:
        """Rows in their order, some hundred kilobytes at a time: (their numbers, their bytes)."""
        rows = np.arange(self.num_rows) if chosen is None else chosen
        spans = (np.cumsum(self.located.length[rows]) - 1) // SPAN_BYTES
        for span in np.split(rows, np.flatnonzero(np.diff(spans)) + 1):
            if len(span):
                yield span, list(self.encoded(span))

    def _packed(self) -> Packed:
        return stored.KEPT.made((self.identity, self.split, "texts"), self._read)

    def _read(self) -> Packed:
        found = [data for _, span in self.spans() for data in span]
        ends = np.cumsum([0, *(len(data) for data in found)], dtype=np.int64)
        return Packed(b"".join(found), ends)

    def _text(self, data: bytes, row: int) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"a text must be UTF-8: {error.reason}", where=self.describe(row)) from None
