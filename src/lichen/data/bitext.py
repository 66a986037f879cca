"""bitext: the pairs of a split: a text, and what it is to become, such as its translation.

A row holds both in UTF-8 with SEPARATOR between them, so a pair is named, checked, copied and compared as a
whole. Pairs of one source text are a group of their own: no carved split has a source of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lichen.core.errors import DataError
from lichen.data.texts import Texts

SEPARATOR = b"\x1f"
"""What ASCII calls the unit separator: it stands in no text that was written by a person."""


def joined(source: bytes, target: bytes, where: str | None = None) -> bytes:
    """A row of both.

    Raises:
        DataError: the separator stands in one of them, or one is empty.
    """
    if SEPARATOR in source or SEPARATOR in target:
        raise DataError("a text of a pair must not hold the character U+001F", where=where)
    if not source.strip() or not target.strip():
        empty = "text" if not source.strip() else "target"
        raise DataError(
            f"a pair must hold both texts; its {empty} is empty", where=where, hint="drop the row"
        )
    return source + SEPARATOR + target


def source_of(row: bytes) -> str:
    """The source text of a row, as what keeps pairs together."""
    return row.partition(SEPARATOR)[0].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Bitext(Texts):
    """One split of pairs."""

    def __repr__(self) -> str:
        return f"Bitext({self.split}: {self.num_rows} pairs, {self.num_bytes} bytes)"

    def parts(self, row: bytes) -> list[bytes]:
        """Source and target."""
        return row.split(SEPARATOR)

    @property
    def sources(self) -> list[str]:
        """Every source text, read once per process."""
        return [source for source, _ in self.pairs()]

    @property
    def wanted(self) -> list[str]:
        """Every target text, read once per process."""
        return [target for _, target in self.pairs()]

    def pairs(self, rows: Iterable[int] | None = None) -> Iterator[tuple[str, str]]:
        """(source, target) of all rows, or of some.

        Raises:
            DataError: a row is gone, changed, or no pair; names it.
        """
        chosen = np.arange(self.num_rows) if rows is None else np.asarray(list(rows), np.int64)
        for row, text in zip(chosen.tolist(), self.batch(chosen), strict=True):
            source, mark, target = text.partition(SEPARATOR.decode())
            if not mark:
                raise DataError("this row is no pair of texts", where=self.describe(row))
            yield source, target
