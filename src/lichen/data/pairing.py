"""pairing: pairs of texts as numbers: source and END in one half of a row, END, target and END in the other.

Each half is filled up with PAD to one width, so a row says where its halves are, also when a batch is cut to
its longest text or when the last number, which is only to be told, is left out.

Shapes: N rows of the split, B rows asked for, W numbers of a half, T numbers to be told (T = W - 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.data.bitext import Bitext
from lichen.data.numbered import Numbered
from lichen.data.tokenizer import PAD, Tokenizer

AROUND = 2
"""Numbers of a half beside those of its text: the END before a target and the one behind it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs(Numbered):
    """One split of pairs through a tokenizer, up to `length` numbers of each text.

    `targets` are int32 (N, T): the bytes that each number to be told stands for; -1 where none is.
    """

    rows: Bitext
    tokenizer: Tokenizer
    length: int

    @property
    def ids(self) -> np.ndarray:
        return self.rows.ids

    @property
    def num_rows(self) -> int:
        return self.rows.num_rows

    @property
    def num_numbers(self) -> int:
        return 2 * (self.length + AROUND)

    @property
    def reading(self) -> str:
        return self.tokenizer.digest

    @property
    def targets(self) -> np.ndarray:
        sizes_V = np.array([len(data) for data in self.tokenizer.bytes_of], np.int32)
        told_NT = halves(self.whole())[1][:, 1:]
        found_NT = np.where(told_NT != PAD, sizes_V[told_NT], -1)
        found_NT[found_NT[:, 0] > 0, 0] -= self.tokenizer.num_before
        return found_NT

    @property
    def wanted(self) -> list[str]:
        """The target text of every row."""
        return self.rows.wanted

    def made(self, chosen: np.ndarray) -> np.ndarray:
        """int32 (B, 2 W)."""
        return self._read(self.rows.encoded(chosen))

    def all_made(self) -> np.ndarray:
        """int32 (N, 2 W)."""
        return np.concatenate([self._read(span) for _, span in self.rows.spans()])

    def lengths(self) -> np.ndarray:
        """int32 (N, 2): numbers in either half of each row."""
        return self.kept("lengths", self._counted, self.length)

    def describe(self, row: int) -> str:
        """Where a row lies, as errors show it."""
        return self.rows.describe(row)

    def _counted(self) -> np.ndarray:
        if self.fits():
            return lengths(self.whole())
        return np.concatenate([lengths(self._read(span)) for _, span in self.rows.spans()])

    def _read(self, rows: Iterable[bytes]) -> np.ndarray:
        parts = [[part.decode("utf-8", "replace") for part in self.rows.parts(row)] for row in rows]
        return filled(self.tokenizer, [part[0] for part in parts], [part[1] for part in parts], self.length)


def filled(tokenizer: Tokenizer, sources: Sequence[str], targets: Sequence[str], length: int) -> np.ndarray:
    """int32 (B, 2 W) of pairs; what does not fit is cut off, END and all."""
    width, end = length + AROUND, np.array([tokenizer.end], np.int32)
    found_BL = np.full((len(sources), 2 * width), PAD, np.int32)
    read, told = tokenizer.encode(sources), tokenizer.encode(targets)
    for row, (source, target) in enumerate(zip(read, told, strict=True)):
        for start, parts in ((0, [source, end]), (width, [end, target, end])):
            numbers = np.concatenate(parts)[:width]
            found_BL[row, start : start + len(numbers)] = numbers
    return found_BL


def asked(tokenizer: Tokenizer, source: str, length: int) -> np.ndarray:
    """int32 (2 W,) of a source alone: its target has yet to be told."""
    row_L = filled(tokenizer, [source], [""], length)[0]
    row_L[length + AROUND + 1 :] = PAD
    return row_L


def are_cut(rows_BL: np.ndarray, end: int) -> np.ndarray:
    """bool (B,): whether a source was longer than its half, so that its END is missing."""
    last_B = halves(rows_BL)[0][:, -1]
    return (last_B != PAD) & (last_B != end)


def halves(rows_BL: Any) -> tuple[Any, Any]:
    """Sources and targets of rows, or of rows without their last number, as arrays or tensors."""
    width = (rows_BL.shape[1] + 1) // 2
    return rows_BL[:, :width], rows_BL[:, width:]


def lengths(rows_NL: np.ndarray) -> np.ndarray:
    """int32 (N, 2): numbers in either half of each row."""
    return np.stack([(half != PAD).sum(1) for half in halves(rows_NL)], 1).astype(np.int32)


def cut(rows_BL: np.ndarray) -> np.ndarray:
    """int32 (B, 2 w): both halves cut to the longest that is in them."""
    width = int(lengths(rows_BL).max())
    return np.concatenate([half[:, :width] for half in halves(rows_BL)], 1)
