"""documents: plain text files: one document each, in folders by split and class or in none.

A lone file is cut into passages of some kilobytes at the ends of paragraphs, where the paragraph's own hash
says so: text that is added moves no cut but the nearest. Joined again the rows of a file are the file.

Paper: Muthitacharoen et al. 2001, section 3.1, for cuts that the content decides.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lichen.core.errors import DataError, OptionError, UnsafeInputError, nearest
from lichen.data.columns import ROLES, refuse
from lichen.data.files import read_bytes, reading
from lichen.data.scan import Located, Part, Scan, content_of, joined, part, split_of

SUFFIXES = (".txt", ".text", ".md")
BESIDE = ("readme", "license", "licence", "notice")
"""Names of files that stand beside data and are none."""
UNITS = ("document", "passage", "line")
SHORTEST, LONGEST = 2**12, 2**15
"""Bytes of a passage."""
ONE_IN = 16
"""Of the paragraphs after which a passage may end one in so many ends it."""
MAX_DOCUMENT = 2**28
GATHERED = 10_000
PARAGRAPH_END = re.compile(rb"\n[ \t\r]*\n\s*")
Place = tuple[int, int]
"""Offset and bytes."""


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    return is_text(path.name) if path.is_file() else any(is_text(file.name) for file in path.rglob("*"))


def is_text(name: str) -> bool:
    """Whether a file's name says that it holds text of the data."""
    stem = name.partition(".")[0].lower()
    return name.lower().endswith(SUFFIXES) and stem not in BESIDE and not name.startswith(".")


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    refuse(options, tuple(name for name in ROLES if name != "label"), "a folder of text files", path)
    if options.get("label"):
        raise OptionError("labels of text files are their folders; only label='' is taken", where=str(path))
    base = path.parent if path.is_file() else path
    names = sorted(name for name in files if is_text(name.rpartition("/")[2]))
    placed = _placed(base, names, is_labelled=options.get("label") is None)
    parts = {}
    for split in dict.fromkeys(split for split, _ in placed):
        chosen = [place for place, (found, _) in enumerate(placed) if found == split]
        members, labels = [names[place] for place in chosen], [placed[place][1] for place in chosen]
        parts[split] = _part(base, members, labels, _unit(options, len(members), labels))
    columns = {"text": "file", **({"label": "folder"} if any(label for _, label in placed) else {})}
    return Scan(parts=parts, columns=columns, shape=None, options={"counts": "byte"})


def fetch(located: Located, rows: np.ndarray) -> list[bytes]:
    found: list[bytes] = [b""] * len(rows)
    for file in np.unique(located.file[rows]).tolist():
        path = located.path(file)
        with reading(path), path.open("rb") as source:
            for place in np.flatnonzero(located.file[rows] == file).tolist():
                source.seek(max(0, int(located.position[rows[place]])))
                found[place] = source.read(int(located.length[rows[place]]))
    return found


def _unit(options: Mapping[str, Any], num_files: int, labels: Sequence[str]) -> str:
    """What a row is: as told, else a file; a lone one without a label is cut."""
    told = options.get("unit")
    if told is None:
        return "passage" if num_files == 1 and not labels[0] else "document"
    if told not in UNITS:
        raise OptionError(
            f"a unit must be one of {', '.join(UNITS)}, not `{told}`", hint=nearest(told, UNITS)
        )
    return str(told)


def _placed(base: Path, names: list[str], *, is_labelled: bool) -> list[tuple[str, str]]:
    """(split, class) of every file; the class is empty where files lie in no folder of their own.

    Raises:
        DataError: some lie in folders of classes and some do not.
    """
    levels = [name.split("/") for name in names]
    splits = [split_of(parts[0]) for parts in levels]
    is_divided = all(splits) and len({len(parts) > 1 for parts in levels}) == 1
    named = sorted({split for split in splits if split})
    if not is_divided and "train" in named and len(named) > 1:
        odd = names[next((place for place, split in enumerate(splits) if split is None), 0)]
        raise DataError(
            f"files beside {' and '.join(named)} must belong to a split, too; `{odd}` does not",
            where=str(base / odd), hint="move it away",
        )  # fmt: skip
    depth = 1 if is_divided else 0
    folders = [parts[depth] if len(parts) > depth + 1 else "" for parts in levels]
    if is_labelled and not all(folders) and any(folders):
        odd = names[folders.index("")]
        raise DataError(
            "a text must lie in the folder of its class, as its neighbours do", where=str(base / odd),
            hint="label='' reads the files as they are, without classes",
        )  # fmt: skip
    return [
        (str(split) if is_divided else "train", folder if is_labelled else "")
        for split, folder in zip(splits, folders, strict=True)
    ]


def _part(base: Path, names: list[str], labels: list[str], unit: str) -> Part:
    parts = [part([], [], files=names, file=0, position=0)]
    contents: list[bytes] = []
    rows: list[tuple[int, int, int]] = []

    def pack() -> None:
        if rows:
            file, position, length = zip(*rows, strict=True)
            texts = [labels[number] for number in file]
            parts.append(
                part(contents, texts, files=names, file=file, position=position, length=length, counts="byte")
            )
            contents.clear()
            rows.clear()

    for number, name in enumerate(names):
        for position, text in _rows(base / name, unit):
            contents.append(content_of(text))
            rows.append((number, position, len(text)))
            if len(rows) == GATHERED:
                pack()
    pack()
    return joined(parts)


def _rows(path: Path, unit: str) -> Iterator[tuple[int, bytes]]:
    """The rows of a file with their offsets; -1 says that it is the whole file."""
    if unit == "document":
        with reading(path):
            size = path.stat().st_size
        if size > MAX_DOCUMENT:
            raise UnsafeInputError(
                f"a document must have {MAX_DOCUMENT} bytes at most, not {size}", where=str(path),
                hint="unit='passage' or 'line' cuts it",
            )  # fmt: skip
        yield -1, _checked(read_bytes(path), path, 0)
        return
    with reading(path), path.open("rb") as file:
        for offset, text in (passages if unit == "passage" else lines)(file):
            yield offset, _checked(text, path, offset)


def _checked(text: bytes, path: Path, offset: int) -> bytes:
    """Text in UTF-8.

    Raises:
        DataError: it is none; names the byte.
    """
    if (place := text.find(0)) >= 0:
        raise DataError(
            f"a text file must hold text; byte {max(offset, 0) + place} is 0", where=str(path),
            hint="save it as UTF-8" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else None,
        )  # fmt: skip
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"a text file must be in UTF-8; byte {max(offset, 0) + error.start} is not", where=str(path),
            hint="iconv -f LATIN1 -t UTF-8",
        ) from None  # fmt: skip
    return text


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that say something, without their ends."""
    offset = 0
    while line := file.readline(MAX_DOCUMENT + 1):
        if len(line) > MAX_DOCUMENT:
            raise UnsafeInputError(f"a line must have {MAX_DOCUMENT} bytes at most")
        if line.strip():
            yield offset, line.rstrip(b"\r\n")
        offset += len(line)


def passages(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The whole file in passages."""
    offset, held = 0, b""
    while True:
        held += file.read(LONGEST - len(held))
        if not held:
            return
        end = _cut(held) if len(held) == LONGEST else _first_end(held) or len(held)
        yield offset, held[:end]
        offset, held = offset + end, held[end:]


def _first_end(held: bytes) -> int | None:
    """Where the first paragraph ends that ends a passage."""
    start = 0
    for match in PARAGRAPH_END.finditer(held):
        if match.end() >= SHORTEST and zlib.crc32(held[start : match.start()]) % ONE_IN == 0:
            return match.end()
        start = match.end()
    return None


def _cut(held: bytes) -> int:
    """Where a passage ends within its longest length: after a paragraph, line, word or character."""
    if end := _first_end(held):
        return end
    ends = [match.end() for match in PARAGRAPH_END.finditer(held) if match.end() < len(held)]
    found = ends[-1] if ends else max(held.rfind(b"\n") + 1, 0)
    if found >= SHORTEST:
        return found
    if (found := held.rfind(b" ") + 1) >= SHORTEST:
        return found
    end = len(held) - 1
    while end > len(held) - 4 and held[end] & 0xC0 == 0x80:
        end -= 1
    return end
