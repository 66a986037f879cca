"""tokens: the texts of a split as numbers, each cut to one length or filled up to it.

Shapes: N rows of the split, B rows asked for, T numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lichen.data.numbered import Numbered
from lichen.data.texts import Texts
from lichen.data.tokenizer import PAD, Tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Tokens(Numbered):
    """One split of texts through a tokenizer: `length` numbers per row.

    Args:
        before: what a text goes on from, as in `filled`.
    """

    rows: Texts
    tokenizer: Tokenizer
    length: int
    before: str | None = None

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
    def num_numbers(self) -> int:
        return self.length

    @property
    def reading(self) -> str:
        return f"{self.tokenizer.digest} {self.before!r}"

    def made(self, chosen: np.ndarray) -> np.ndarray:
        """int32 (B, T)."""
        return self._filled(list(self.rows.encoded(chosen)))

    def all_made(self) -> np.ndarray:
        """int32 (N, T)."""
        return np.concatenate([self._filled(span) for _, span in self.rows.spans()])

    def describe(self, row: int) -> str:
        """The file and place of a row, as errors show it."""
        return self.rows.describe(row)

    def lengths(self) -> np.ndarray | None:
        """int64 (N,): numbers of every row before what fills it up; None where they are not in memory."""
        return lengths(self.whole()) if self.fits() else None

    def _filled(self, texts: Iterable[bytes]) -> np.ndarray:
        told = [text.decode("utf-8", "replace") for text in texts]
        return filled(self.tokenizer, told, self.length, self.before)


def filled(
    tokenizer: Tokenizer, texts: Sequence[str], length: int, before: str | None = None
) -> np.ndarray:  # fmt: skip
    """int32 (B, T): the first numbers of each text, what the tokenizer puts around them, then PAD.

    Args:
        before: spaces between a text and one that it goes on from, and then nothing is put around it; None:
            it goes on from none.
    """
    numbers_BT = np.full((len(texts), length), PAD, np.int32)
    for row, numbers in enumerate(_read(tokenizer, texts, length, before)):
        numbers_BT[row, : len(numbers)] = numbers
    return numbers_BT


def _read(
    tokenizer: Tokenizer, texts: Sequence[str], length: int, before: str | None
) -> list[np.ndarray]:  # fmt: skip
    if before is not None:
        return [numbers[:length] for numbers in within(tokenizer, texts, before)]
    room = max(0, length - num_around(tokenizer))
    return [
        np.concatenate([tokenizer.opening, numbers[:room], tokenizer.closing])[:length]
        for numbers in tokenizer.encode(texts)
    ]


def within(tokenizer: Tokenizer, texts: Sequence[str], before: str) -> list[np.ndarray]:
    """int32 (T,) of each text without the blanks around it, as it goes on from another; of none nothing."""
    bare = [text.strip() for text in texts]
    return tokenizer.encode_within([before + text if text else "" for text in bare])


def lengths(numbers_NT: np.ndarray) -> np.ndarray:
    """int64 (N,): numbers of every row before what fills it up."""
    return (numbers_NT != PAD).sum(1)


def num_around(tokenizer: Tokenizer) -> int:
    """Numbers that stand before and after every text."""
    return len(tokenizer.opening) + len(tokenizer.closing)


def longest(rows: Texts, tokenizer: Tokenizer) -> int:
    """Numbers of the longest text."""
    return num_around(tokenizer) + max(
        len(numbers)
        for _, span in rows.spans()
        for numbers in tokenizer.encode(
            [part.decode("utf-8", "replace") for text in span for part in rows.parts(text)]
        )
    )
