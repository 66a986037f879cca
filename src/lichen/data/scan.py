"""scan: what a reader found: rows by digest, label and place, before anything is decoded.

The digest of a row is 16 bytes: 8 of the SHA-256 of its content, then 8 of content and label together. So
equal pictures have equal first halves, also when their labels disagree, and fall into one split.

Shapes: N rows of a split.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data.labels import Label, as_text, words

DIGEST_BYTES = 16
SPLIT_WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation",
    "val": "validation", "dev": "validation", "test": "test", "testing": "test", "t10k": "test",
}  # fmt: skip
NUMBER = 20
"""Digits of a label that may count as a number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The rows of one split.

    Args:
        digests: uint8 (N, 16).
        labels: of each row, as text: never a number that shifts when a class is added. "" where rows have
            none, tuples where they may have several.
        files: file names relative to the root; `file` (N,) points into them.
        position: (N,) where the row stands in its file: a row number or an offset.
        groups: uint64 (N,): rows of one group stay in one split; None: each row is its own.
        length: (N,) bytes at that offset, or of the text in that row; 0 where nothing asks for it.
    """

    digests: np.ndarray
    labels: Sequence[Label]
    files: tuple[str, ...]
    file: np.ndarray
    position: np.ndarray
    length: np.ndarray
    groups: np.ndarray | None = None
    counts: str = "row"
    """What `position` counts: rows or bytes of the file."""

    @property
    def num_rows(self) -> int:
        return len(self.digests)

    @property
    def ids(self) -> np.ndarray:
        """uint64 (N,): the first 8 bytes of each digest, which stand for the content."""
        return ids_of(self.digests)

    def describe(self, row: int) -> str:
        """The file of a row, and its place in it where the file has several."""
        name = self.files[int(self.file[row])] if self.files else "arrays"
        return name if self.position[row] < 0 else f"{name}, {self.counts} {int(self.position[row])}"

    def take(self, rows: np.ndarray) -> Part:
        return replace(
            self, digests=self.digests[rows], labels=[self.labels[row] for row in rows],
            file=self.file[rows], position=self.position[rows], length=self.length[rows],
            groups=None if self.groups is None else self.groups[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """Everything a reader says about a source.

    Args:
        columns: role -> column as found, such as `{"image": "img", "label": "fine_label"}`.
        names: class names in order where the source states them; None: sorted from the rows.
        shape: (channels, height, width) of every picture; height and width are 0 when they differ. None: the
            rows are texts.
        options: what `fetch` must be told again.
    """

    parts: Mapping[str, Part]
    columns: Mapping[str, str]
    shape: tuple[int, int, int] | None
    names: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Located:
    """Where the rows of a split lie, as `fetch` of a reader takes it.

    Args:
        content: the blob that holds the rows; None when they lie in files under `root`.
    """

    root: Path | None
    files: tuple[str, ...]
    file: np.ndarray
    position: np.ndarray
    length: np.ndarray
    options: Mapping[str, Any]
    shape: tuple[int, ...] | None
    content: memoryview | None = None

    def path(self, file: int) -> Path:
        assert self.root is not None
        return self.root if self.root.is_file() else self.root / self.files[file]

    def describe(self, row: int) -> str:
        """`cat/0001.png`, `train.parquet, row 17`, or `train.jsonl, byte 2048`."""
        return f"row {row}" if self.root is None else self._named(str(self.path(int(self.file[row]))), row)

    def below(self, row: int) -> str | None:
        """The same with the file's name below the root alone; None where there are no files."""
        return self._named(self.files[int(self.file[row])], row) if self.files else None

    def _named(self, name: str, row: int) -> str:
        place = f"{self.options.get('counts') or 'row'} {int(self.position[row])}"
        return name if self.position[row] < 0 else f"{name}, {place}"


def ids_of(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1)


def part(
    contents: Sequence[bytes],
    labels: Sequence[Label],
    *,
    files: Sequence[str],
    file: Any,
    position: Any,
    length: Any = 0,
    counts: str = "row",
) -> Part:
    """A Part from the SHA-256 of each row's content and its label."""
    num_rows = len(contents)
    packed = b"".join(
        content[:8] + hashlib.sha256(content + _encoded(as_text(label), files)).digest()[:8]
        for content, label in zip(contents, labels, strict=True)
    )
    return Part(
        digests=np.frombuffer(packed, np.uint8).reshape(num_rows, DIGEST_BYTES),
        labels=[sys.intern(label) if isinstance(label, str) else label for label in labels],
        files=tuple(files),
        file=_filled(file, num_rows), position=_filled(position, num_rows), length=_filled(length, num_rows),
        counts=counts,
    )  # fmt: skip


def grouped(rows: Part, names: Sequence[str] | None) -> Part:
    """The same rows, those of one name in one group."""
    if names is None:
        return rows
    digests = [hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names]
    return replace(rows, groups=np.frombuffer(b"".join(digests), "<u8"))


def joined(parts: Sequence[Part]) -> Part:
    """One Part of several that name the same files."""
    held = [rows for rows in parts if rows.num_rows] or list(parts[:1])
    groups = [rows.groups for rows in held if rows.groups is not None]
    return replace(
        held[0],
        digests=np.concatenate([rows.digests for rows in held]),
        labels=[label for rows in held for label in rows.labels],
        file=np.concatenate([rows.file for rows in held]),
        position=np.concatenate([rows.position for rows in held]),
        length=np.concatenate([rows.length for rows in held]),
        groups=np.concatenate(groups) if groups else None,
    )


def _encoded(label: str, files: Sequence[str]) -> bytes:
    try:
        return label.encode()
    except UnicodeEncodeError:  # a folder's name of other bytes
        raise DataError(
            f"a label must be text in UTF-8, not {ascii(label)[:120]}", hint="rename it",
            where=next((ascii(name) for name in files if label in name), None),
        ) from None  # fmt: skip


def _filled(numbers: Any, num_rows: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(numbers, np.int64), (num_rows,)))


def content_of(row: bytes | np.ndarray) -> bytes:
    """The SHA-256 of a row: of bytes themselves, of pixels (C, H, W) their shape and bytes."""
    if isinstance(row, bytes):
        return hashlib.sha256(row).digest()
    if row.ndim == 1:
        return hashlib.sha256(row.data).digest()
    channels, height, width = row.shape
    return hashlib.sha256(b"%dx%dx%d:" % (channels, height, width) + row.tobytes()).digest()


def class_names(parts: Mapping[str, Part]) -> list[str]:
    """Every label of every split, numbers in their own order, those of one number as words."""
    found = {word for rows in parts.values() for label in rows.labels for word in words(label)}
    if all(label.removeprefix("-").isdecimal() and len(label) <= NUMBER for label in found):
        return sorted(found, key=lambda label: (int(label), label))
    return sorted(found)


def split_of(name: str) -> str | None:
    """The split that a file or folder name begins with: `val-00000-of-00002` is validation."""
    return SPLIT_WORDS.get(re.split(r"[-_.]", name.lower(), maxsplit=1)[0])


def common_shape(shapes: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    """One shape for all pictures: colour when any has colour, sides 0 when they differ."""
    found = set(shapes) or {(1, 0, 0)}
    sides = {shape[1:] for shape in found}
    return max(shape[0] for shape in found), *(sides.pop() if len(sides) == 1 else (0, 0))


def by_split(base: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Files by split, as their names or folders say; all train when no name says anything."""
    splits = {name: _split_in(name) for name in names}
    if not any(splits.values()):
        return {"train": list(names)}
    parts: dict[str, list[str]] = {}
    for name, split in splits.items():
        if split is None:
            raise DataError(
                "every file must be named after its split, as its neighbours are", where=str(base / name)
            )
        parts.setdefault(split, []).append(name)
    return parts


def _split_in(name: str) -> str | None:
    levels = name.split("/")
    return split_of(levels[-1]) or next((split for level in levels[:-1] if (split := split_of(level))), None)
