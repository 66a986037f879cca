"""tokens: the texts of a split as numbers, each cut to one length or filled up to it.

Shapes: N rows of the split, B rows asked for, T numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.data import stored
from lichen.data.texts import Texts
from lichen.data.tokenizer import PAD, Tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One split of texts through a tokenizer: `length` numbers per row."""

    rows: Texts
    tokenizer: Tokenizer
    length: int

    @property
    def split(self) -> str:
        return self.rows.split

    @property
    def targets(self) -> np.ndarray:
        return self.rows.targets

    @property
    def ids(self) -> np.ndarray:
        return self.rows.ids

    @property
    def num_rows(self) -> int:
        return self.rows.num_rows

    @property
    def is_uniform(self) -> bool:
        return True

    def fits(self, size: int | None = None) -> bool:
        """Whether the whole split may stay in memory."""
        return 4 * self.num_rows * self.length <= stored.RESIDENT_BYTES

    def whole(self, size: int | None = None) -> np.ndarray:
        """int32 (N, T), made once per process: to be read, never written."""
        key = (self.rows.identity, self.split, self.tokenizer.digest, self.length)
        if (kept := stored.KEPT.get(key)) is None:
            kept = np.concatenate([self._filled(span) for _, span in self.rows.spans()])
            stored.KEPT.put(key, kept)
        return kept

    def batch(self, indices: Any, size: int | None = None) -> np.ndarray:
        """int32 (B, T) of some rows."""
        chosen = np.asarray(indices, dtype=np.int64)
        return self.whole()[chosen] if self.fits() else self._filled(list(self.rows.encoded(chosen)))

    def describe(self, row: int) -> str:
        """The file and place of a row, as errors show it."""
        return self.rows.describe(row)

    def lengths(self) -> np.ndarray | None:
        """int64 (N,): numbers of every row before what fills it up; None where they are not in memory."""
        return lengths(self.whole()) if self.fits() else None

    def _filled(self, texts: Iterable[bytes]) -> np.ndarray:
        return filled(self.tokenizer, [text.decode("utf-8", "replace") for text in texts], self.length)


def filled(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> np.ndarray:
    """int32 (B, T): the first numbers of each text, what the tokenizer puts around them, then PAD."""
    numbers_BT = np.full((len(texts), length), PAD, np.int32)
    room = max(0, length - num_around(tokenizer))
    for row, numbers in enumerate(tokenizer.encode(texts)):
        told = np.concatenate([tokenizer.opening, numbers[:room], tokenizer.closing])[:length]
        numbers_BT[row, : len(told)] = told
    return numbers_BT


def lengths(numbers_NT: np.ndarray) -> np.ndarray:
    """int64 (N,): numbers of every row before what fills it up."""
    return (numbers_NT != PAD).sum(1)


def num_around(tokenizer: Tokenizer) -> int:
    """Numbers that stand before and after every text."""
    return len(tokenizer.opening) + len(tokenizer.closing)


def longest(rows: Texts, tokenizer: Tokenizer) -> int:
    """Numbers of the longest row."""
    return num_around(tokenizer) + max(
        len(numbers)
        for _, span in rows.spans()
        for numbers in tokenizer.encode([text.decode("utf-8", "replace") for text in span])
    )
