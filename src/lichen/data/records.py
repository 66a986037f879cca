"""records: lines of JSON, CSV and TSV, walked through row by row; each row is found again by its offset."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from lichen.core.errors import DataError, UnsafeInputError
from lichen.data.columns import require_apart
from lichen.data.files import reading

LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")
MAX_LINE = 2**26
"""Bytes of a line above which it is no row any more: 64 MiB."""
SEPARATORS = (";", "\t", "|")
"""What other programs write between columns."""
BOM = b"\xef\xbb\xbf"
Record = tuple[int, int, Mapping[str, Any]]
"""Where a row lies (offset and bytes) and what it says."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A file with a JSON object per line."""

    path: Path

    @property
    def columns(self) -> list[str]:
        for _, _, record in self:
            return list(record)
        raise DataError("there must be rows; the file has none", where=str(self.path))

    def __iter__(self) -> Iterator[Record]:
        with reading(self.path), self.path.open("rb") as file:
            for offset, line in numbered(file, self.path):
                if line.strip():
                    yield offset, len(line), self.one(line)

    def one(self, line: bytes) -> Mapping[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = str(error) if isinstance(error, ValueError) else "it nests too deep"
            raise DataError(f"a line must be a JSON object: {said}", where=str(self.path)) from None
        if not isinstance(record, dict):
            raise DataError(
                f"a line must be a JSON object, not {type(record).__name__}", where=str(self.path)
            )
        return record


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file, or one with tabs and without quotes; its first row names the columns."""

    path: Path
    columns: tuple[str, ...]

    def __iter__(self) -> Iterator[Record]:
        with reading(self.path), self.path.open("rb") as file:
            rows = _rows(file, self.path)
            next(rows, None)
            for offset, length, cells in rows:
                yield offset, length, self._record(cells)

    def one(self, data: bytes) -> Mapping[str, Any]:
        cells = next(_parsed(iter(data.splitlines(keepends=True)), self.path), [])
        return self._record(cells)

    def _record(self, cells: list[str]) -> Mapping[str, Any]:
        if len(cells) != len(self.columns):
            raise DataError(
                f"a row must have {len(self.columns)} cells, not {len(cells)}", where=str(self.path)
            )
        return dict(zip(self.columns, cells, strict=True))


def reader(path: Path) -> Lines | Table:
    if path.suffix in LINES:
        return Lines(path)
    with reading(path):
        info = path.stat()
    return _table(path, info.st_mtime_ns, info.st_size)


@lru_cache(maxsize=64)
def _table(path: Path, mtime_ns: int, size_bytes: int) -> Table:
    with reading(path), path.open("rb") as file:
        for _, _, cells in _rows(file, path):
            if len(cells) == 1 and (found := next((mark for mark in SEPARATORS if mark in cells[0]), None)):
                raise DataError(f"columns must stand between commas, not {found!r}", where=str(path),
                                hint="a file with tabs is named .tsv")  # fmt: skip
            require_apart(cells, str(path))
            return Table(path, tuple(cells))
    raise DataError("a table must begin with its column names; it is empty", where=str(path))


def _rows(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, list[str]]]:
    """Rows with their places; a row ends where the parser has asked for no further line."""
    end = 0

    def counted() -> Iterator[bytes]:
        nonlocal end
        for offset, line in numbered(file, path):
            end = offset + len(line)
            yield line

    start = 0
    for cells in _parsed(counted(), path):
        if cells:
            yield start, end - start, cells
        start = end


def _parsed(lines: Iterator[bytes], path: Path) -> Iterator[list[str]]:
    how: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.suffix == ".tsv" else {}
    try:
        yield from csv.reader((line.decode() for line in lines), strict=True, **how)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the table cannot be read: {error}", where=str(path)) from None


def numbered(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their offsets, read one at a time; a mark of the byte order is left out."""
    offset = 0
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise UnsafeInputError(f"a line must have {MAX_LINE} bytes at most", where=str(path))
        if offset == 0 and line.startswith(BOM):
            offset, line = len(BOM), line[len(BOM) :]
        yield offset, line
        offset += len(line)
