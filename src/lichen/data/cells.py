"""cells: what a table holds, a group of rows at a time: pictures, texts, conversations or plain cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data import bitext, conversations, pictures, tabular
from lichen.data.columnar import Table, parsing
from lichen.data.columns import SPOKEN

Shape = tuple[int, int, int]


def some(table: Table, group: int, place: np.ndarray, roles: Mapping[str, Any]) -> list[bytes]:
    """Some cells of a group of rows."""
    if "text" in roles:
        held = sides(table, group, roles)
        if len(place) and place.max() >= len(held[0]):
            raise DataError("the table has fewer rows than it had", where=table.where)
        return joined(table, group, place, [side.take(place) for side in held])
    if "features" in roles or conversations.kind_of(roles):
        return objects(table, group, roles, place)
    cells = pictures_of(table, group, roles["image"])
    return [cells[row] for row in place.tolist()]


def pictures_of(table: Table, group: int, name: str) -> list[bytes]:
    """The encoded pictures of a group of rows.

    Raises:
        DataError: the column holds none, or a cell is empty; names the row.
    """
    import pyarrow as pa

    cells = table.read(group, name)
    if pa.types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
        found = [cell and cell["bytes"] for cell in table.plain(cells)]
    elif any(
        is_kind(cells.type) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
    ):
        found = table.plain(cells)
    else:
        raise DataError(f"column `{name}` must hold encoded pictures, not {cells.type}", where=table.where)
    for row, cell in enumerate(found):
        if not cell:
            raise DataError(
                "a row must hold its picture; this cell is empty", where=table.cell(group, row, name)
            )
    return found


def shapes(table: Table, group: int, cells: list[bytes], name: str) -> list[Shape]:
    found = [(0, 0, 0)] * len(cells)

    def probe(row: int) -> None:
        found[row] = pictures.probe(cells[row])

    pictures.each(probe, len(cells), 0, lambda row: table.cell(group, row, name))
    return found


def objects(table: Table, group: int, roles: Mapping[str, Any], place: np.ndarray | None) -> list[bytes]:
    """Some conversations or cells of a group of rows, or all of them.

    Raises:
        DataError: a row holds none; names it.
    """
    names = [name for role, name in named(roles) if role in (*SPOKEN, *conversations.BESIDE, "features")]
    columns = [table.read(group, name) for name in names]
    rows = np.arange(len(columns[0])) if place is None else place
    if len(rows) and rows.max() >= len(columns[0]):
        raise DataError("the table has fewer rows than it had", where=table.where)
    cells = [table.plain(column.take(rows)) for column in columns]
    found = []
    for number, values in zip(rows.tolist(), zip(*cells, strict=True), strict=True):
        try:
            record = dict(zip(names, values, strict=True))
            is_table = "features" in roles
            found.append(tabular.row(record, names) if is_table else conversations.row(record, roles))
        except DataError as error:
            raise error.at(table.cell(group, number)) from None
    return found


def named(roles: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every role with each of its columns."""
    cells = [("features", name) for name in json.loads(roles.get("features", "[]"))]
    return [*((role, name) for role, name in roles.items() if role != "features"), *cells]


def sides(table: Table, group: int, roles: Mapping[str, Any]) -> list[Any]:
    """The texts of a group of rows, and their targets where rows are pairs."""
    return [_texts(table, group, roles[role]) for role in ("text", "target") if role in roles]


def joined(table: Table, group: int, place: np.ndarray, sides: list[Any]) -> list[bytes]:
    """Rows of texts or of pairs; `place` is where they stand in their group."""
    found = [table.plain(side) for side in sides]
    if len(found) == 1:
        return found[0]
    return [
        bitext.joined(source, target, table.cell(group, row))
        for row, source, target in zip(place.tolist(), *found, strict=True)
    ]


@lru_cache(maxsize=4)
def _texts(table: Table, group: int, name: str) -> Any:
    """The texts of a group of rows as an Arrow array of bytes in UTF-8.

    Raises:
        DataError: the column holds none, a cell is missing, or is no UTF-8.
    """
    import pyarrow as pa

    cells = table.read(group, name)
    if not is_text(cells.type):
        raise DataError(f"column `{name}` must hold texts, not {cells.type}", where=table.where)
    with parsing(table.path):
        whole = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        whole = whole.cast(pa.large_string())
        whole.validate(full=True)
        if whole.null_count:
            row = whole.is_null().index(True).as_py()
            raise DataError(
                "a row must hold its text; this cell is empty", where=table.cell(group, row, name),
                hint="drop the row",
            )  # fmt: skip
        return whole.cast(pa.large_binary())


def is_text(kind: Any) -> bool:
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(plain) in ("string", "large_string", "string_view")


def words(table: Table, group: int, name: str | None) -> list[str] | None:
    return None if name is None else [str(value) for value in table.plain(table.read(group, name))]
