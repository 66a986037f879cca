"""repeats: the columns of a table that say the same few things again and again, as labels do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lichen.data import columnar, records

LOOKED_AT = 2_000
"""Rows from the first on."""
OFTEN, MOST = 5, 100
"""A value stands in so many rows on average at least; so many different ones at most."""
LONGEST = 60
"""Characters of a value that names something."""


def repeats(path: Path, used: Collection[str]) -> dict[str, int]:
    """Columns that might be labels, and how many different values each has.

    Args:
        path: of a table or a folder of them, of which the first is looked at.
        used: columns whose part is known.
    """
    suffixes = (*records.LINES, *records.TABLES, *columnar.SUFFIXES)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in suffixes)
    if not files or files[0].suffix not in suffixes:
        return {}
    found = {name: _different(values) for name, values in _columns(files[0]) if name not in used}
    return {name: count for name, count in found.items() if count}


def _columns(path: Path) -> Iterator[tuple[str, Sequence[Any]]]:
    if path.suffix in columnar.SUFFIXES:
        table = columnar.Table.open(path)
        if len(table.starts):
            yield from ((name, table.plain(table.read(0, name)[:LOOKED_AT])) for name in table.columns)
        return
    rows: list[Mapping[str, Any]] = [record for _, _, record in islice(records.reader(path), LOOKED_AT)]
    yield from ((name, [row.get(name) for row in rows]) for name in (rows[0] if rows else ()))


def _different(values: Sequence[Any]) -> int:
    """How many different names a column has; 0 where it is none of names."""
    if not all(_is_name(value) for value in values):
        return 0
    count = len({str(value).strip() for value in values})
    return count if 2 <= count <= min(MOST, len(values) // OFTEN) else 0


def _is_name(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value.strip()) <= LONGEST and not _is_amount(value)
    return isinstance(value, int)


def _is_amount(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except ValueError:
        return False
