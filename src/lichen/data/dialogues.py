"""dialogues: conversations side by side in rows of one length, of which only answers are to be told.

A row is whole conversations, each cut off where it is longer than a row. Two lines of numbers: what is read,
in which the complement of a number begins a conversation; and what each place tells, PAD where it tells none.

Shapes: N rows, T tokens of a row, D conversations, S tokens of one, Q tokens of several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data import conversations, draws, packing
from lichen.data.chat import Chat
from lichen.data.conversations import Message
from lichen.data.numbered import Numbered
from lichen.data.packing import Plan
from lichen.data.texts import Texts
from lichen.data.tokenizer import PAD


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Conversations end to end: `ends_D[i]` up to `ends_D[i + 1]` is the i-th, read and told."""

    read_Q: np.ndarray
    told_Q: np.ndarray
    ends_D: np.ndarray

    def lengths(self, room: int) -> np.ndarray:
        """int64 (D,): tokens read of each within so much room; 0 where no answer is told in it."""
        starts_D, length_D = self.ends_D[:-1], np.minimum(np.diff(self.ends_D), room)
        before_Q = np.concatenate([[0], np.cumsum(self.told_Q != PAD)])
        return np.where(before_Q[starts_D + length_D] > before_Q[starts_D], length_D, 0)

    @property
    def longest(self) -> int:
        return int(np.diff(self.ends_D).max())

    @property
    def nbytes(self) -> int:
        return self.read_Q.nbytes + self.told_Q.nbytes + self.ends_D.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Dialogues(Numbered):
    """One split of conversations as packed rows; of preferences, what was chosen.

    `targets` are int32 (N, T, 2): of each token to be told the number of its conversation and how many bytes
    it stands for; -1 where nothing is to be told.

    Args:
        length: tokens of a row.
    """

    rows: Texts
    chat: Chat
    length: int

    @property
    def num_rows(self) -> int:
        return self.plan.num_rows

    @property
    def num_numbers(self) -> int:
        return 2 * self.length

    @property
    def reading(self) -> str:
        return self.chat.digest

    @property
    def ids(self) -> np.ndarray:
        """uint64 (N,): of each row by its conversations."""
        pieces, row_P = self.plan.pieces(np.arange(self.num_rows))
        mixed_P = draws.mix(self.rows.ids[self._documents(pieces)].view(np.int64))
        found_N = np.zeros(self.num_rows, np.int64)
        np.add.at(found_N, row_P, mixed_P)
        return found_N.view(np.uint64)

    @property
    def targets(self) -> np.ndarray:
        rows = np.arange(self.num_rows)
        told_NT = self.batch(rows)[:, 1]
        pieces, row_P = self.plan.pieces(rows)
        row_Q, column_Q, piece_Q = packing.spread(self.plan, pieces, row_P)
        found_NT2 = np.full((self.num_rows, self.length, 2), -1, np.int32)
        is_told_Q = told_NT[row_Q, column_Q] != PAD
        place = row_Q[is_told_Q], column_Q[is_told_Q]
        sizes_V = np.array([len(data) for data in self.chat.tokenizer.bytes_of], np.int32)
        found_NT2[(*place, 0)] = self._documents(pieces)[piece_Q[is_told_Q]]
        found_NT2[(*place, 1)] = sizes_V[told_NT[place]]
        return found_NT2

    @property
    def plan(self) -> Plan:
        return self.kept("plan", lambda: packing.plan(self._lengths(), self.length), self.length)

    def describe(self, row: int) -> str:
        """A row's first conversation, as errors show it."""
        return self.rows.describe(int(self._documents(self.plan.ends_N[[row]])[0]))

    def _documents(self, pieces: np.ndarray) -> np.ndarray:
        """The conversation of each piece: none is cut in two."""
        lengths_D = self._lengths()
        starts_D = np.cumsum(lengths_D) - lengths_D
        return np.searchsorted(starts_D, self.plan.start_P[pieces], "right") - 1

    @property
    def num_left_out(self) -> int:
        """Conversations of which no answer is reached within a row."""
        return int((self._lengths() < 2).sum())

    @property
    def num_cut(self) -> int:
        """Those that are read, but not to their end."""
        lengths_D = self._lengths()
        return int(((lengths_D > 1) & (lengths_D < np.diff(self.stream.ends_D))).sum())

    @property
    def stream(self) -> Stream:
        """Every conversation, encoded once per process."""
        return self.kept("stream", lambda: encoded(self.rows, self.chat, conversations.chosen))

    def _lengths(self) -> np.ndarray:
        """int64 (D,): tokens read of each conversation; 0 where no answer is left within a row."""
        found_D = self.stream.lengths(self.length)
        if not (found_D > 1).any():
            raise DataError(
                f"conversations of {self.split} must hold an answer within {self.length} tokens; none does",
                hint="a larger max_tokens reads on",
            )
        return found_D

    def made(self, chosen: np.ndarray) -> np.ndarray:
        """int32 (B, 2, T) of these rows."""
        pieces, row_P = self.plan.pieces(chosen)
        found_B2T = np.full((len(chosen), 2, self.length), PAD, np.int32)
        row_Q, column_Q, _ = packing.spread(self.plan, pieces, row_P)
        starts_P = self.stream.ends_D[self._documents(pieces)]
        source_Q = packing.ranges(starts_P, self.plan.length_P[pieces])
        found_B2T[row_Q, 0, column_Q] = self.stream.read_Q[source_Q]
        found_B2T[row_Q, 1, column_Q] = self.stream.told_Q[source_Q]
        return found_B2T


def encoded(rows: Texts, chat: Chat, side: Callable[[Mapping[str, Any]], list[Message]]) -> Stream:
    """The conversations of a split.

    Args:
        side: the messages of what a row says.

    Raises:
        DataError: the template refuses one; names the row.
    """
    read, told = [], []
    for numbers, span in rows.spans():
        for number, data in zip(numbers.tolist(), span, strict=True):
            try:
                read_S, told_S = chat.told(side(conversations.read(data)))
            except DataError as error:
                raise error.at(rows.describe(number)) from None
            read.append(read_S)
            told.append(told_S)
    ends_D = np.cumsum([0, *map(len, read)], dtype=np.int64)
    return Stream(np.concatenate(read), np.concatenate(told), ends_D)
