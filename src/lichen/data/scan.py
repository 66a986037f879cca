"""scan: what a reader found: rows by digest, label and place, before anything is decoded.

The digest of a row is 16 bytes: 8 of the SHA-256 of its content, then 8 of content and label together. So
equal pictures have equal first halves, also when their labels disagree, and fall into one split.

Shapes: N rows of a split.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, nearest

DIGEST_BYTES = 16
SPLIT_WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation",
    "val": "validation", "dev": "validation", "test": "test", "testing": "test", "t10k": "test",
}  # fmt: skip
IMAGE_COLUMNS = ("image", "img", "picture", "photo", "jpeg", "png", "file_name", "filename", "file", "path")
SHOWN = 8
"""Columns that an error lists."""
NUMBER = 20
"""Digits of a label that may count as a number."""
LABEL_COLUMNS = ("label", "labels", "class", "target", "category", "fine_label", "digit", "y")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The rows of one split.

    Args:
        digests: uint8 (N, 16).
        labels: the label of each row as text: never a number that shifts when a class is added.
        files: file names relative to the root; `file` (N,) points into them.
        position: (N,) where the row stands in its file: a row number or an offset.
        length: (N,) bytes at that offset; 0 where position is a row number.
    """

    digests: np.ndarray
    labels: Sequence[str]
    files: tuple[str, ...]
    file: np.ndarray
    position: np.ndarray
    length: np.ndarray

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
        return name if self.position[row] < 0 else f"{name}, row {int(self.position[row])}"

    def take(self, rows: np.ndarray) -> Part:
        return replace(
            self, digests=self.digests[rows], labels=[self.labels[row] for row in rows],
            file=self.file[rows], position=self.position[rows], length=self.length[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """Everything a reader says about a source.

    Args:
        columns: role -> column as found, such as `{"image": "img", "label": "fine_label"}`.
        names: class names in order where the source states them; None: sorted from the rows.
        shape: (channels, height, width) of every picture; height and width are 0 when they differ.
        options: what `fetch` must be told again.
    """

    parts: Mapping[str, Part]
    columns: Mapping[str, str]
    shape: tuple[int, int, int]
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
    shape: tuple[int, int, int]
    content: memoryview | None = None

    def path(self, file: int) -> Path:
        assert self.root is not None
        return self.root if self.root.is_file() else self.root / self.files[file]

    def describe(self, row: int) -> str:
        """`cat/0001.png`, or `train.parquet, row 17`."""
        if self.root is None:
            return f"row {row}"
        name = self.path(int(self.file[row]))
        return str(name) if self.position[row] < 0 else f"{name}, row {int(self.position[row])}"


def ids_of(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1)


def part(
    contents: Sequence[bytes],
    labels: Sequence[str],
    *,
    files: Sequence[str],
    file: Any,
    position: Any,
    length: Any = 0,
) -> Part:
    """A Part from the SHA-256 of each row's content and its label."""
    num_rows = len(contents)
    packed = b"".join(
        content[:8] + hashlib.sha256(content + _encoded(label, files)).digest()[:8]
        for content, label in zip(contents, labels, strict=True)
    )
    return Part(
        digests=np.frombuffer(packed, np.uint8).reshape(num_rows, DIGEST_BYTES), labels=list(labels),
        files=tuple(files),
        file=_filled(file, num_rows), position=_filled(position, num_rows), length=_filled(length, num_rows),
    )  # fmt: skip


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
    """The SHA-256 of a row: of an encoded picture its bytes, of pixels (C, H, W) their shape and bytes."""
    if isinstance(row, bytes):
        return hashlib.sha256(row).digest()
    channels, height, width = row.shape
    return hashlib.sha256(b"%dx%dx%d:" % (channels, height, width) + row.tobytes()).digest()


def class_names(parts: Mapping[str, Part]) -> list[str]:
    """Every label of every split, numbers in their own order."""
    found = {label for rows in parts.values() for label in rows.labels}
    if all(label.removeprefix("-").isdecimal() and len(label) <= NUMBER for label in found):
        return sorted(found, key=int)
    return sorted(found)


def split_of(name: str) -> str | None:
    """The split that a file or folder name begins with: `val-00000-of-00002` is validation."""
    return SPLIT_WORDS.get(re.split(r"[-_.]", name.lower(), maxsplit=1)[0])


def column(columns: Sequence[str], told: str | None, usual: Sequence[str], role: str, where: str) -> str:
    """The column that fills a role: the one told, else the first usual name.

    Raises:
        DataError: there is none; hints at the nearest.
    """
    if told is not None and told in columns:
        return told
    if told is not None:
        raise DataError(f"there is no column `{told}`", where=where, hint=nearest(told, columns))
    lower = {name.lower(): name for name in reversed(columns)}
    for name in usual:
        if name in lower:
            return lower[name]
    near = [name for name in columns if difflib.get_close_matches(name.lower(), usual, n=1, cutoff=0.75)]
    known = ", ".join(list(columns)[:SHOWN]) + (
        f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    )
    hint = f"did you mean {role}=`{near[0]}`?" if near else f"name it with {role}=; columns: {known}"
    raise DataError(f"no column looks like the {role}", where=where, hint=hint)


def common_shape(shapes: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    """One shape for all pictures: colour when any has colour, sides 0 when they differ."""
    found = set(shapes) or {(1, 0, 0)}
    sides = {shape[1:] for shape in found}
    return max(shape[0] for shape in found), *(sides.pop() if len(sides) == 1 else (0, 0))


def label_text(label: Any, where: str | None = None) -> str:
    """A class label as text.

    Raises:
        DataError: the label is missing, or a number that is no class.
    """
    if isinstance(label, bool | np.bool_):
        return str(int(label))
    if isinstance(label, int | np.integer):
        return str(int(label))
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    if isinstance(label, str) and label:
        return label
    if label is None or label == "" or (isinstance(label, float | np.floating) and np.isnan(label)):
        raise DataError(
            "every row must have a label; this one has none", where=where, hint="drop the row or name it"
        )
    raise DataError(
        f"a label must be a class (a word or a whole number), not {label!r}", where=where,
        hint="name another column with label=",
    )  # fmt: skip
