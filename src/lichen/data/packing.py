"""packing: documents side by side in rows of one length, for nets that tell the next token.

All documents form one stream: END before each and behind the last. A row is some pieces of it, and one token
more, which is only to be told. It begins where a document begins, or where the row before cut off a longer
one; so END alone says where in a row a document starts, and each token is told once, from its own document.

Whole documents go where they leave the least room, the longest first (Ding et al. 2024). The stream is
encoded once per process; where it is larger than memory may be, it lies in a file that goes with the process.

Shapes: N rows, T tokens read of a row, D documents, P pieces, S tokens of the stream, Q tokens of pieces.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data import draws, stored
from lichen.data.numbered import NUMBER_BYTES, Numbered
from lichen.data.texts import Texts
from lichen.data.tokenizer import PAD, Tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Row i holds the pieces `ends_N[i]` up to `ends_N[i + 1]`, each a stretch of the stream."""

    start_P: np.ndarray
    length_P: np.ndarray
    ends_N: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.ends_N) - 1

    @property
    def nbytes(self) -> int:
        return self.start_P.nbytes + self.length_P.nbytes + self.ends_N.nbytes

    def pieces(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pieces of some rows in turn, and at which of these rows each lies."""
        counts = self.ends_N[rows + 1] - self.ends_N[rows]
        return ranges(self.ends_N[rows], counts), np.repeat(np.arange(len(rows)), counts)


def plan(lengths_D: np.ndarray, room: int) -> Plan:
    """Places documents into rows that read `room` tokens.

    Args:
        lengths_D: tokens of each document, the END before it included.
    """
    starts_D = np.cumsum(lengths_D) - lengths_D
    rows = [
        [(start + place, min(room, length - place))]
        for start, length in zip(starts_D.tolist(), lengths_D.tolist(), strict=True) if length > room
        for place in range(0, length, room)
    ]  # fmt: skip
    free: list[list[int]] = [[] for _ in range(room + 1)]
    is_free = np.zeros(room + 1, bool)

    def open_up(row: int, left: int) -> None:
        free[left].append(row)
        is_free[left] = True

    for number, row in enumerate(rows):
        open_up(number, room - row[0][1])
    short = np.flatnonzero((lengths_D > 1) & (lengths_D <= room))
    for document in short[np.argsort(-lengths_D[short], kind="stable")].tolist():
        start, length = int(starts_D[document]), int(lengths_D[document])
        left = length + int(is_free[length:].argmax())
        if is_free[left]:
            number = free[left].pop()
            is_free[left] = bool(free[left])
        else:
            number, left = len(rows), room
            rows.append([])
        rows[number].append((start, length))
        open_up(number, left - length)
    pieces = np.array([piece for row in rows for piece in row], np.int64).reshape(-1, 2)
    ends_N = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    return Plan(pieces[:, 0], pieces[:, 1], ends_N)


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """int64: start, start + 1, ... of every start in turn, as many as its count."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


def spread(plan: Plan, pieces: np.ndarray, row_P: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and piece of every token that is read of some pieces."""
    length_P = plan.length_P[pieces]
    before_P = np.cumsum(length_P) - length_P
    is_first_P = np.diff(row_P, prepend=-1) > 0
    column_P = before_P - np.maximum.accumulate(np.where(is_first_P, before_P, 0))
    return np.repeat(row_P, length_P), ranges(column_P, length_P), np.repeat(np.arange(len(pieces)), length_P)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Documents end to end: `token_S` int32 (S,); document i is `ends_D[i]` up to `ends_D[i + 1]`, int64."""

    token_S: np.ndarray
    ends_D: np.ndarray

    @property
    def nbytes(self) -> int:
        """In memory."""
        is_there = not isinstance(self.token_S, np.memmap)
        return self.ends_D.nbytes + (self.token_S.nbytes if is_there else 0)


def streamed(documents: Iterator[np.ndarray], end: int, *, in_memory: bool) -> Stream:
    """The stream of these documents, in memory or in a file that has no name."""
    lengths, mark = [0], np.array([end], np.int32)
    with tempfile.SpooledTemporaryFile(max_size=0 if in_memory else 1) as file:
        for numbers in documents:
            file.write(mark.tobytes() + np.asarray(numbers, np.int32).tobytes())
            lengths.append(len(numbers) + 1)
        file.write(mark.tobytes())
        file.flush()
        file.seek(0)
        found = np.frombuffer(file.read(), np.int32) if in_memory else np.memmap(file, np.int32, "r")
    return Stream(found, np.cumsum(lengths, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Packs(Numbered):
    """One split of texts as packed rows: `length` tokens to read, and the one after them.

    `targets` are int32 (N, T, 2): of each token to be told the number of its document and how many bytes it
    stands for; -1 where nothing is to be told.
    """

    rows: Texts
    tokenizer: Tokenizer
    length: int

    @property
    def num_rows(self) -> int:
        return self.plan.num_rows

    @property
    def num_numbers(self) -> int:
        return self.length + 1

    @property
    def reading(self) -> str:
        return self.tokenizer.digest

    @property
    def ids(self) -> np.ndarray:
        """uint64 (N,): of each row by where it begins in which document."""
        first_N = self.plan.start_P[self.plan.ends_N[:-1]]
        document_N, place_N = self._places(first_N)
        return draws.mix(self.rows.ids[document_N].view(np.int64) ^ draws.mix(place_N)).view(np.uint64)

    @property
    def targets(self) -> np.ndarray:
        return self.told(np.arange(self.num_rows))

    def told(self, indices: Any) -> np.ndarray:
        """int32 (B, T, 2) of some rows: document and bytes of each token to be told; -1: none is."""
        chosen = np.asarray(indices, dtype=np.int64)
        found_BT2 = np.full((len(chosen), self.length, 2), -1, np.int32)
        pieces, row_P = self.plan.pieces(chosen)
        document_P, place_P = self._places(self.plan.start_P[pieces])
        sizes_V = np.array([len(data) for data in self.tokenizer.bytes_of], np.int32)
        tokens_BT = self.batch(chosen)[:, 1:]
        row_Q, column_Q, piece_Q = spread(self.plan, pieces, row_P)
        found_BT2[row_Q, column_Q, 0] = document_P[piece_Q]
        found_BT2[row_Q, column_Q, 1] = sizes_V[tokens_BT[row_Q, column_Q]]
        first_Q = np.flatnonzero((np.diff(piece_Q, prepend=-1) > 0) & (place_P[piece_Q] == 0))
        found_BT2[row_Q[first_Q], column_Q[first_Q], 1] -= self.tokenizer.num_before
        return found_BT2

    @property
    def plan(self) -> Plan:
        return self.kept("plan", lambda: plan(np.diff(self.stream.ends_D), self.length), self.length)

    def describe(self, row: int) -> str:
        """Where a row begins, as errors show it."""
        document, place = self._places(self.plan.start_P[self.plan.ends_N[[row]]])
        return f"{self.rows.describe(int(document[0]))}, token {int(place[0])}"

    @property
    def stream(self) -> Stream:
        return self.kept("stream", self._encoded)

    def _encoded(self) -> Stream:
        longest = NUMBER_BYTES * (self.rows.num_bytes + self.rows.num_rows + 1)
        return streamed(self._documents(), self.tokenizer.end, in_memory=longest <= stored.RESIDENT_BYTES)

    def _documents(self) -> Iterator[np.ndarray]:
        """int32 of each document; at most a token for each byte."""
        is_empty = True
        for _, span in self.rows.spans():
            for numbers in self.tokenizer.encode([text.decode("utf-8", "replace") for text in span]):
                is_empty &= len(numbers) == 0
                yield numbers
        if is_empty:
            raise DataError(f"the documents of {self.split} must hold text; all of them are empty")

    def _places(self, start_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The document of each stretch of the stream, and how far into it the stretch begins."""
        starts_D = self.stream.ends_D[:-1]
        document_P = np.searchsorted(starts_D, start_P, "right") - 1
        return document_P, start_P - starts_D[document_P]

    def made(self, chosen: np.ndarray) -> np.ndarray:
        """int32 (B, T + 1)."""
        pieces, row_P = self.plan.pieces(chosen)
        found_BT = np.full((len(chosen), self.length + 1), PAD, np.int32)
        row_Q, column_Q, _piece_Q = spread(self.plan, pieces, row_P)
        source_Q = ranges(self.plan.start_P[pieces], self.plan.length_P[pieces])
        found_BT[row_Q, column_Q + 1] = self.stream.token_S[source_Q + 1]
        found_BT[row_Q, column_Q] = self.stream.token_S[source_Q]
        return found_BT


def row(tokenizer: Tokenizer, text: str, length: int) -> np.ndarray:
    """int32 (T + 1,) of one text by itself, as far as it goes."""
    end = np.array([tokenizer.end], np.int32)
    stream = np.concatenate([end, *tokenizer.encode([text]), end])[: length + 1]
    return np.pad(stream, (0, length + 1 - len(stream)), constant_values=PAD)
