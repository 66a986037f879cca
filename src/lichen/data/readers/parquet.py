"""parquet: Parquet and Arrow tables of pictures, texts, conversations or cells, as the hub keeps them.

A column `split` of words divides the rows, else the files' names do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, OptionError
from lichen.data import bitext, cells, conversations, tabular
from lichen.data.cells import Shape
from lichen.data.columnar import SUFFIXES, Table
from lichen.data.columns import IMAGE_COLUMNS, LABEL_COLUMNS, TEXT_COLUMNS, column, usual
from lichen.data.says import Says
from lichen.data.scan import (
    Located,
    Part,
    Scan,
    by_split,
    common_shape,
    content_of,
    grouped,
    joined,
    part,
    split_of,
)

SPLIT = "split"


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
    for split, members in ({"": names} if SPLIT in roles else by_split(base, names)).items():
        rows, found, told = _part(base, members, roles, says)
        parts.update(_divided(rows, told) if SPLIT in roles else {split: rows})
        shapes += found
    columns = {role: name for role, name in {**roles, **says.role()}.items() if role != SPLIT}
    return Scan(
        parts=parts, columns=columns, names=says.names, options=roles,
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
            for row, cell in zip(
                chosen.tolist(), cells.some(table, group, place, located.options), strict=True
            ):
                found[row] = cell
    return found


def _roles(table: Table, options: Mapping[str, Any]) -> dict[str, str]:
    """The columns of pictures, conversations, or texts and their targets, of labels, groups and splits.

    Texts need no labels: an empty name says that there are none.
    """
    found = _of_rows(table, options)
    is_divided = SPLIT in table.columns and cells.is_text(table.types[SPLIT])
    return {**found, SPLIT: SPLIT} if is_divided and SPLIT not in found.values() else found


def _of_rows(table: Table, options: Mapping[str, Any]) -> dict[str, str]:
    """What makes a row, and what keeps some together."""
    where, roles = table.where, {}
    if options.get("features"):
        told = table.found("ClassLabel") if options.get("label") is None else options["label"]
        found = tabular.roles_of(table.columns, {**options, "label": told}, where)
        return {role: name for role, name in found.items() if role != SPLIT}
    if image := _image_column(table, options):
        if options.get("target"):
            raise OptionError("rows with a `target` are pairs of texts; these hold pictures", where=where,
                              hint="name the column of texts with text=")  # fmt: skip
        roles["image"] = column(table.columns, image, IMAGE_COLUMNS, "image", where)
    elif conversations.claims(table.columns, options):
        roles.update(conversations.roles_of(table.columns, options, where))
    elif options.get("text") or any(map(cells.is_text, table.types.values())):
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
    held = [name for name in usual(table.columns, IMAGE_COLUMNS) if not cells.is_text(table.types[name])]
    is_text = any(cells.is_text(table.types[name]) for name in usual(table.columns, TEXT_COLUMNS))
    return table.found("Image") or (held[0] if held and not is_text else None)


def _divided(rows: Part, told: list[str]) -> dict[str, Part]:
    """The rows by what their own cell says.

    Raises:
        DataError: it says no split; names the row.
    """
    found = [split_of(cell) for cell in told]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"a split must be train, validation or test, not {told[row]!r}", where=rows.describe(row)
        )
    return {split: rows.take(np.flatnonzero(np.array(found) == split)) for split in dict.fromkeys(found)
            if split}  # fmt: skip


def _part(
    base: Path, names: list[str], roles: Mapping[str, str], says: Says
) -> tuple[Part, list[Shape], list[str]]:
    """The rows of some files, the shapes of pictures, and what a column of splits says of each row."""
    parts: list[Part] = [part([], [], files=names, file=0, position=0)]
    shapes: list[Shape] = []
    told: list[str] = []
    for number, name in enumerate(names):
        table = Table.open(base / name)
        for role, needed in (*cells.named(roles), *(("label", name) for name in says.columns)):
            column(table.columns, needed, (), role, table.where)
        for group, start in enumerate(table.starts.tolist()):
            if "text" in roles:
                sides = cells.sides(table, group, roles)
                held = cells.joined(table, group, np.arange(len(sides[0])), sides)
                length = [len(cell) for cell in held]
            elif "features" in roles or conversations.kind_of(roles):
                held = cells.objects(table, group, roles, None)
                length = [len(cell) for cell in held]
            else:
                held, length = cells.pictures_of(table, group, roles["image"]), [0]
                shapes += cells.shapes(table, group, held, roles["image"])
            labels = says.labels(table, group) if says.columns else [""] * len(held)
            if len(labels) != len(held):
                raise DataError(
                    f"the table is damaged: {len(held)} rows have {len(labels)} labels", where=table.where
                )
            found = part(
                [content_of(cell) for cell in held], labels, files=names, file=number,
                position=start + np.arange(len(held)), length=length,
            )  # fmt: skip
            names_of = cells.words(table, group, roles.get("group"))
            if "target" in roles and names_of is None:
                names_of = [bitext.source_of(cell) for cell in held]
            parts.append(grouped(found, names_of))
            told += cells.words(table, group, roles.get(SPLIT)) or []
    return joined(parts), shapes, told
