"""parquet: Parquet and Arrow tables of pictures, texts, conversations or cells, as the hub keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, OptionError
from lichen.data import bitext, conversations, pictures, tabular
from lichen.data.columnar import SUFFIXES, Table, parsing
from lichen.data.columns import IMAGE_COLUMNS, LABEL_COLUMNS, SPOKEN, TEXT_COLUMNS, column, label_text, usual
from lichen.data.labels import Label, listed, marked, several
from lichen.data.scan import Located, Part, Scan, by_split, common_shape, content_of, grouped, joined, part

Shape = tuple[int, int, int]


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    if path.is_file():
        return path.suffix in SUFFIXES
    return any(file.suffix in SUFFIXES for level in ("*", "*/*") for file in path.glob(level))


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    base = path.parent if path.is_file() else path
    names = sorted(name for name in files if name.endswith(SUFFIXES))
    if not names:
        raise DataError("there are no tables here but hidden ones", where=str(path))
    first = Table.open(base / names[0])
    roles = _roles(first, options)
    says = Says.of(first, options, roles.get("label"))
    parts, shapes = {}, []
    for split, members in by_split(base, names).items():
        parts[split], found = _part(base, members, roles, says)
        shapes += found
    return Scan(
        parts=parts, columns={**roles, **says.role()}, names=says.names, options=roles,
        shape=common_shape(shapes or [(1, 0, 0)]) if "image" in roles else None,
    )  # fmt: skip


def fetch(located: Located, rows: np.ndarray) -> list[bytes]:
    found: list[bytes] = [b""] * len(rows)
    for file in np.unique(located.file[rows]).tolist():
        table = Table.open(located.path(file))
        wanted = np.flatnonzero(located.file[rows] == file)
        group_of = np.searchsorted(table.starts, located.position[rows[wanted]], side="right") - 1
        for group in np.unique(group_of).tolist():
            chosen = wanted[group_of == group]
            place = located.position[rows[chosen]] - int(table.starts[group])
            for row, cell in zip(chosen.tolist(), _cells(table, group, place, located.options), strict=True):
                found[row] = cell
    return found


def _cells(table: Table, group: int, place: np.ndarray, roles: Mapping[str, Any]) -> list[bytes]:
    """Some cells of a group of rows."""
    if "text" in roles:
        sides = _sides(table, group, roles)
        if len(place) and place.max() >= len(sides[0]):
            raise DataError("the table has fewer rows than it had", where=table.where)
        return _rows(table, group, place, [side.take(place) for side in sides])
    if "features" in roles or conversations.kind_of(roles):
        return _objects(table, group, roles, place)
    cells = _pictures(table, group, roles["image"])
    return [cells[row] for row in place.tolist()]


def _roles(table: Table, options: Mapping[str, Any]) -> dict[str, str]:
    """The columns of pictures, conversations, or texts and their targets, of labels, and of groups.

    Texts need no labels: an empty name says that there are none.
    """
    where, roles = table.where, {}
    if options.get("features"):
        told = table.found("ClassLabel") if options.get("label") is None else options["label"]
        found = tabular.roles_of(table.columns, {**options, "label": told}, where)
        return {role: name for role, name in found.items() if role != "split"}
    if image := _image_column(table, options):
        if options.get("target"):
            raise OptionError("rows with a `target` are pairs of texts; these hold pictures", where=where,
                              hint="name the column of texts with text=")  # fmt: skip
        roles["image"] = column(table.columns, image, IMAGE_COLUMNS, "image", where)
    elif conversations.claims(table.columns, options):
        roles.update(conversations.roles_of(table.columns, options, where))
    elif options.get("text") or any(map(_is_text, table.types.values())):
        roles["text"] = column(table.columns, options.get("text"), TEXT_COLUMNS, "text", where)
        if options.get("target"):
            return {**roles, **_pair_roles(table, options)}
    else:
        roles["image"] = column(table.columns, None, IMAGE_COLUMNS, "image", where)
    told = options.get("label")
    label = table.found("ClassLabel") if told is None else told
    if options.get("label_columns") or (told is None and conversations.kind_of(roles)):
        pass  # one for each label, so that none is the label; or nothing is asked about conversations
    elif "image" in roles or label or (told is None and usual(table.columns, LABEL_COLUMNS)):
        roles["label"] = column(table.columns, label, LABEL_COLUMNS, "label", where)
    if group := options.get("group"):
        roles["group"] = column(table.columns, group, (), "group", where)
    return roles


def _pair_roles(table: Table, options: Mapping[str, Any]) -> dict[str, str]:
    """The column of targets, and of what keeps pairs together beside their source."""
    asked = {role: options[role] for role in ("target", "group") if options.get(role)}
    return {role: column(table.columns, name, (), role, table.where) for role, name in asked.items()}


def _image_column(table: Table, options: Mapping[str, Any]) -> str | None:
    """The column of pictures: the one told or declared, or one of a usual name that holds no texts."""
    if options.get("image") or options.get("text"):
        return options.get("image")
    held = [name for name in usual(table.columns, IMAGE_COLUMNS) if not _is_text(table.types[name])]
    is_text = any(_is_text(table.types[name]) for name in usual(table.columns, TEXT_COLUMNS))
    return table.found("Image") or (held[0] if held and not is_text else None)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(plain) in ("string", "large_string", "string_view")


def _part(base: Path, names: list[str], roles: Mapping[str, str], says: Says) -> tuple[Part, list[Shape]]:
    parts: list[Part] = [part([], [], files=names, file=0, position=0)]
    shapes: list[Shape] = []
    for number, name in enumerate(names):
        table = Table.open(base / name)
        for role, needed in (*_named(roles), *(("label", name) for name in says.columns)):
            column(table.columns, needed, (), role, table.where)
        for group, start in enumerate(table.starts.tolist()):
            if "text" in roles:
                sides = _sides(table, group, roles)
                cells = _rows(table, group, np.arange(len(sides[0])), sides)
                length = [len(cell) for cell in cells]
            elif "features" in roles or conversations.kind_of(roles):
                cells = _objects(table, group, roles, None)
                length = [len(cell) for cell in cells]
            else:
                cells, length = _pictures(table, group, roles["image"]), [0]
                shapes += _shapes(table, group, cells, roles["image"])
            labels = says.labels(table, group) if says.columns else [""] * len(cells)
            if len(labels) != len(cells):
                raise DataError(
                    f"the table is damaged: {len(cells)} rows have {len(labels)} labels", where=table.where
                )
            found = part(
                [content_of(cell) for cell in cells], labels, files=names, file=number,
                position=start + np.arange(len(cells)), length=length,
            )  # fmt: skip
            names_of = _groups(table, group, roles.get("group"))
            if "target" in roles and names_of is None:
                names_of = [bitext.source_of(cell) for cell in cells]
            parts.append(grouped(found, names_of))
    return joined(parts), shapes


def _pictures(table: Table, group: int, name: str) -> list[bytes]:
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


def _named(roles: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every role with each of its columns."""
    cells = [("features", name) for name in json.loads(roles.get("features", "[]"))]
    return [*((role, name) for role, name in roles.items() if role != "features"), *cells]


def _objects(table: Table, group: int, roles: Mapping[str, Any], place: np.ndarray | None) -> list[bytes]:
    """Some conversations or cells of a group of rows, or all of them.

    Raises:
        DataError: a row holds none; names it.
    """
    names = [name for role, name in _named(roles) if role in (*SPOKEN, "features")]
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


def _sides(table: Table, group: int, roles: Mapping[str, Any]) -> list[Any]:
    """The texts of a group of rows, and their targets where rows are pairs."""
    return [_texts(table, group, roles[role]) for role in ("text", "target") if role in roles]


def _rows(table: Table, group: int, place: np.ndarray, sides: list[Any]) -> list[bytes]:
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
    if not _is_text(cells.type):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """Which columns say the classes of a row, and how.

    Args:
        columns: none; one; or one of 0 and 1 for each class, where `are_marks`.
        names: the classes in order, where the table says them.
        separator: stands between the classes in a cell.
    """

    columns: list[str]
    are_marks: bool = False
    names: list[str] | None = None
    separator: str | None = None

    @classmethod
    def of(cls, table: Table, options: Mapping[str, Any], label: str | None) -> Says:
        if marks := options.get("label_columns"):
            found = [column(table.columns, name, (), "label", table.where) for name in marks]
            return cls(columns=found, are_marks=True, names=found)
        if label is None:
            return cls(columns=[])
        return cls(columns=[label], names=table.class_names(label), separator=options.get("separator"))

    def role(self) -> dict[str, str]:
        """The columns of labels as a schema names them."""
        return {"label": ", ".join(self.columns)} if self.columns else {}

    def labels(self, table: Table, group: int) -> list[Label]:
        """The label of every row of a group."""
        cells = [table.plain(table.read(group, name)) for name in self.columns]
        return [self.label(table, group, row, values) for row, values in enumerate(zip(*cells, strict=True))]

    def label(self, table: Table, group: int, row: int, values: tuple[Any, ...]) -> Label:
        if self.are_marks:
            return marked(dict(zip(self.columns, values, strict=True)), table.cell(group, row))
        (value,) = values
        try:
            if isinstance(value, list):
                return several(_label(one, self.names) for one in value)
            if self.separator:
                return listed(value or "", self.separator)
            return _label(value, self.names)
        except DataError as error:
            raise error.at(table.cell(group, row, self.columns[0])) from None


def _label(value: Any, classes: list[str] | None) -> str:
    if classes is None:
        return label_text(value)
    if value is None or value == -1:  # the hub's mark of a hidden label
        return label_text(None)
    if not isinstance(value, int) or not 0 <= value < len(classes):
        raise DataError(f"a label must be one of the {len(classes)} classes, not {value!r}")
    return classes[value]


def _groups(table: Table, group: int, name: str | None) -> list[str] | None:
    return None if name is None else [str(value) for value in table.plain(table.read(group, name))]


def _shapes(table: Table, group: int, cells: list[bytes], name: str) -> list[Shape]:
    found = [(0, 0, 0)] * len(cells)

    def probe(row: int) -> None:
        found[row] = pictures.probe(cells[row])

    pictures.each(probe, len(cells), 0, lambda row: table.cell(group, row, name))
    return found
