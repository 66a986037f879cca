"""records: texts, conversations or cells in lines of JSON, or in columns of a CSV or TSV table.

A file is walked through once, row by row, and never held. A column `split` divides the rows, else the files'
names do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, LichenError, OptionError
from lichen.data import bitext, conversations, tabular
from lichen.data.columns import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    SEVERAL,
    TEXT_COLUMNS,
    column,
    label_text,
    usual,
)
from lichen.data.files import reading
from lichen.data.records import LINES, TABLES, reader
from lichen.data.scan import Located, Part, Scan, by_split, content_of, grouped, joined, part, split_of

GATHERED = 10_000
"""Rows held as Python has them before they are packed."""
Item = tuple[bytes, str, str, int, int]
"""The digest of a row, its label, its group, its offset and bytes."""


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    """Lines of JSON are always texts; a table is where it has a column of them and none of pictures."""
    found = (
        [path] if path.is_file() else [file for level in ("*", "*/*") for file in sorted(path.glob(level))]
    )
    if any(file.suffix in LINES for file in found):
        return True
    first = next((file for file in found if file.suffix in TABLES and file.is_file()), None)
    if first is None or options.get("image"):
        return False
    columns = _header(first)
    if options.get("features"):
        return True
    if options.get("text") or options.get("target") or conversations.claims(columns, options):
        return True
    return bool(usual(columns, TEXT_COLUMNS)) and not usual(columns, IMAGE_COLUMNS)


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    for name in SEVERAL:
        if options.get(name) is not None:
            raise OptionError(f"texts have one label each, so `{name}` means nothing here", where=str(path))
    base = path.parent if path.is_file() else path
    forms = LINES if any(name.endswith(LINES) for name in files) else TABLES
    names = sorted(name for name in files if name.endswith(forms))
    if not names:
        raise DataError("there are no tables here but hidden ones", where=str(path))
    roles = _roles(base / names[0], options)
    parts: dict[str, list[Part]] = {}
    for split, members in ({"": names} if "split" in roles else by_split(base, names)).items():
        for number, name in enumerate(members):
            for found, rows in _gathered(base / name, members, number, roles, split):
                parts.setdefault(found, []).append(rows)
    return Scan(
        parts={split: joined(found) for split, found in parts.items()}, shape=None,
        options={**roles, "counts": "byte"},
        columns={role: name for role, name in roles.items() if role != "split"},
    )  # fmt: skip


def fetch(located: Located, rows: np.ndarray) -> list[bytes]:
    found: list[bytes] = [b""] * len(rows)
    for file in np.unique(located.file[rows]).tolist():
        path = located.path(file)
        rows_of = reader(path)
        with reading(path), path.open("rb") as source:
            for place in np.flatnonzero(located.file[rows] == file).tolist():
                source.seek(int(located.position[rows[place]]))
                data = source.read(int(located.length[rows[place]]))
                try:
                    found[place] = _content(rows_of.one(data), located.options)
                except LichenError as error:
                    raise error.at(located.describe(int(rows[place]))) from None
    return found


def _roles(path: Path, options: Mapping[str, Any]) -> dict[str, str]:
    columns, where = _header(path), str(path)
    if options.get("features"):
        return tabular.roles_of(columns, options, where)
    if conversations.claims(columns, options):
        roles = conversations.roles_of(columns, options, where)
    else:
        roles = {"text": column(columns, options.get("text"), TEXT_COLUMNS, "text", where)}
    if options.get("target"):
        roles["target"] = column(columns, options["target"], (), "target", where)
    label = options.get("label") if "target" not in roles else ""  # pairs have no labels
    if label or (label is None and "text" in roles and usual(columns, LABEL_COLUMNS)):
        roles["label"] = column(columns, label, LABEL_COLUMNS, "label", where)
    if group := options.get("group"):
        roles["group"] = column(columns, group, (), "group", where)
    if "split" in columns:
        roles["split"] = "split"
    return roles


def _header(path: Path) -> list[str]:
    """The columns of a table, or what the first line of JSON names."""
    return list(reader(path).columns)


def _gathered(
    path: Path, files: list[str], number: int, roles: Mapping[str, str], split: str
) -> Iterator[tuple[str, Part]]:
    """The rows of a file by split, packed some thousands at a time."""
    waiting: dict[str, list[Item]] = {}
    for row, (offset, length, record) in enumerate(reader(path)):
        try:
            place = split or _split(record)
            content = _content(record, roles)
            item = (content_of(content), _label(record, roles.get("label")),
                    _group(record, content, roles), offset, length)  # fmt: skip
        except LichenError as error:
            raise error.at(f"{path}, row {row}") from None
        rows = waiting.setdefault(place, [])
        rows.append(item)
        if len(rows) == GATHERED:
            yield place, _packed(waiting.pop(place), files, number, bool({"group", "target"} & roles.keys()))
    for place, rows in waiting.items():
        yield place, _packed(rows, files, number, bool({"group", "target"} & roles.keys()))


def _packed(
    rows: list[tuple[bytes, str, str, int, int]], files: list[str], number: int, has_groups: bool
) -> Part:
    contents, labels, groups, offsets, lengths = zip(*rows, strict=True)
    found = part(contents, labels, files=files, file=number, position=offsets, length=lengths, counts="byte")
    return grouped(found, groups if has_groups else None)


def _content(record: Mapping[str, Any], roles: Mapping[str, Any]) -> bytes:
    """What a row holds: a text, a pair of them, or as JSON a conversation or cells."""
    if "features" in roles:
        return tabular.row(record, json.loads(roles["features"]))
    if "text" not in roles:
        return conversations.row(record, roles)
    text = _text(record, str(roles["text"]))
    return bitext.joined(text, _text(record, str(roles["target"]))) if roles.get("target") else text


def _group(record: Mapping[str, Any], content: bytes, roles: Mapping[str, str]) -> str:
    """What keeps a row together with others: as told, and of pairs their source."""
    if "target" in roles and "group" not in roles:
        return bitext.source_of(content)
    return str(record.get(roles.get("group", "")))


def _text(record: Mapping[str, Any], name: str) -> bytes:
    text = record.get(name)
    if not isinstance(text, str):
        what = "nothing" if text is None else type(text).__name__
        raise DataError(f"a row must hold its text in `{name}`; this one has {what}", hint="drop the row")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DataError(f"the text in `{name}` has half a character (a lone surrogate)") from None


def _label(record: Mapping[str, Any], name: str | None) -> str:
    if name is None:
        return ""
    value = record.get(name)
    return label_text(value.strip() if isinstance(value, str) else value)


def _split(record: Mapping[str, Any]) -> str:
    split = split_of(str(record.get("split")))
    if split is None:
        raise DataError(f"a split must be train, validation or test, not {record.get('split')!r}")
    return split
