"""table: CSV files of pictures: one column of paths beside a label, or one column per pixel.

Kaggle's `label,pixel0,...,pixel783` and the hub's `file_name,label` both read so. A column `split` divides
the rows.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, UnsafeInputError
from lichen.data import pictures
from lichen.data.columns import AS_CELLS, IMAGE_COLUMNS, LABEL_COLUMNS, column, label_text, require_apart
from lichen.data.files import read_bytes, reading
from lichen.data.labels import Label, listed, marked
from lichen.data.scan import Located, Part, Scan, common_shape, content_of, grouped, part, split_of

WHOLE = re.compile(r"-?(0|[1-9]\d*)(\.0*)?", re.ASCII)
BROKEN = re.compile(r"-?\d*\.\d+", re.ASCII)
"""Numbers that are classes, and those that are none."""
LISTS = ("metadata", "labels", "index", "annotations")


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    if path.is_file():
        return path.suffix == ".csv"
    found = [file.stem for file in path.glob("*.csv")]
    return any(stem in LISTS or split_of(stem) for stem in found) or (
        bool(found) and not any(path.glob("*/"))
    )


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    base = path.parent if path.is_file() else path
    found: dict[str, list[Part]] = {}
    shapes, columns = [], {}
    names = [name for name in files if name.endswith(".csv") and "/" not in name]
    for name in sorted(names):
        table = _Table.open(base / name)
        columns = table.roles(options)
        if path.is_file() and columns["image"] != "pixels":
            raise DataError(
                "a table of paths must be loaded with its pictures", where=str(path), hint=f"load {base}"
            )
        rows, shape = _rows(table, base, name, columns, files, options)
        shapes.append(shape)
        for split, chosen in _splits(table, name, len(names)).items():
            found.setdefault(split, []).append(rows.take(chosen))
    for split, members in found.items():
        if len(members) > 1:
            raise DataError(f"there must be one table per split; {split} has {len(members)}", where=str(path))
    parts = {split: members[0] for split, members in found.items()}
    marks = options.get("label_columns")
    return Scan(
        parts=parts, columns=columns, shape=common_shape(shapes), names=marks,
        options={**columns, **({"label_columns": json.dumps(marks)} if marks else {})},
    )  # fmt: skip


def fetch(located: Located, rows: np.ndarray) -> list[bytes] | np.ndarray:
    if located.options["image"] != "pixels":
        return [read_bytes(located.path(file)) for file in located.file[rows].tolist()]
    table = _Table.open(located.path(0))
    marks = json.loads(located.options.get("label_columns") or "[]")
    told = [*(marks or [located.options["label"]]), *_group(located.options)]
    return table.pixels(told)[located.position[rows]]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A CSV file in memory; every row has one cell per column."""

    path: Path
    columns: list[str]
    rows: list[list[str]]

    @classmethod
    def open(cls, path: Path) -> _Table:
        with reading(path):
            info = path.stat()
        return _table(path, info.st_mtime_ns, info.st_size)

    def roles(self, options: Mapping[str, Any]) -> dict[str, str]:
        """The columns of labels, groups and paths; `pixels` when every other column is one."""
        found, where = self.label_columns(options), str(self.path)
        group = [column(self.columns, name, (), "group", where) for name in _group(options)]
        told = {"label": ", ".join(found), **({"group": group[0]} if group else {})}
        others = [name for name in self.columns if name not in (*found, *group, "split")]
        usual = [name for name in others if name.lower() in IMAGE_COLUMNS]
        if options.get("image") is None and not usual and len(others) > 3:
            return {"image": "pixels", **told}
        return {"image": column(others, options.get("image"), IMAGE_COLUMNS, "image", where), **told}

    def label_columns(self, options: Mapping[str, Any]) -> list[str]:
        """The column that says the class of a row, or one for each label."""
        where = str(self.path)
        if marks := options.get("label_columns"):
            return [column(self.columns, name, (), "label", where) for name in marks]
        return [column(self.columns, options.get("label"), LABEL_COLUMNS, "label", where)]

    def where(self, row: int, name: str) -> str:
        return f"{self.path}, row {row}, column {name}"

    def cells(self, name: str) -> list[str]:
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def labels(self, options: Mapping[str, Any]) -> list[Label]:
        names = self.label_columns(options)
        if options.get("label_columns"):
            cells = [self.cells(name) for name in names]
            return [
                marked(dict(zip(names, row, strict=True)), f"{self.path}, row {number}")
                for number, row in enumerate(zip(*cells, strict=True))
            ]
        name = names[0]
        if separator := options.get("separator"):
            return [listed(cell, separator) for cell in self.cells(name)]
        return [_label(cell, self.where(row, name)) for row, cell in enumerate(self.cells(name))]

    def pixels(self, told: Sequence[str]) -> np.ndarray:
        """uint8 (N, C, H, W) of the columns but those of splits, labels and groups: whole numbers 0..255."""
        names = [name for name in self.columns if name not in (*told, "split")]
        shape = _square(len(names), self.path)
        places = [self.columns.index(name) for name in names]
        numbers = np.empty((len(self.rows), len(names)), dtype=np.uint8)
        for row, cells in enumerate(self.rows):
            for pixel, place in enumerate(places):
                if not (cells[place].isdecimal() and len(cells[place]) < 9 and int(cells[place]) <= 255):
                    raise DataError(
                        f"a pixel must be a whole number 0..255, not {cells[place][:80]!r}",
                        where=self.where(row, names[pixel]), hint=AS_CELLS,
                    )  # fmt: skip
                numbers[row, pixel] = int(cells[place])
        return numbers.reshape(-1, *shape)


@lru_cache(maxsize=4)
def _table(path: Path, mtime_ns: int, size_bytes: int) -> _Table:
    try:
        with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the table cannot be read: {error}", where=str(path)) from None
    if not lines:
        raise DataError("a table must begin with its column names; it is empty", where=str(path))
    require_apart(lines[0], str(path))
    for row, cells in enumerate(lines[1:]):
        if len(cells) != len(lines[0]):
            raise DataError(
                f"a row must have {len(lines[0])} cells, not {len(cells)}", where=f"{path}, row {row}"
            )
    return _Table(path, lines[0], lines[1:])


def _rows(
    table: _Table,
    base: Path,
    name: str,
    columns: Mapping[str, str],
    files: Mapping[str, str],
    options: Mapping[str, Any],
) -> tuple[Part, tuple[int, int, int]]:
    labels = table.labels(options)
    groups = next((table.cells(group) for group in _group(columns)), None)
    if columns["image"] == "pixels":
        pixels = table.pixels([*table.label_columns(options), *_group(columns)])
        contents = [content_of(row) for row in pixels]
        rows = part(contents, labels, files=[name], file=0, position=np.arange(len(labels)))
        return grouped(rows, groups), pixels.shape[1:]
    paths = [
        _inside(cell, files, table.where(row, columns["image"]))
        for row, cell in enumerate(table.cells(columns["image"]))
    ]
    shapes = [(1, 0, 0)] * len(paths)

    def probe(row: int) -> None:
        shapes[row] = pictures.probe(read_bytes(base / paths[row]))

    pictures.each(probe, len(paths), pictures.THREADED_BYTES, lambda row: str(base / paths[row]))
    contents = [bytes.fromhex(files[path]) for path in paths]
    rows = part(contents, labels, files=paths, file=np.arange(len(paths)), position=-1)
    return grouped(rows, groups), common_shape(shapes or [(1, 0, 0)])


def _group(told: Mapping[str, Any]) -> list[str]:
    """The column that keeps rows in one split, or none."""
    return [told["group"]] if told.get("group") else []


def _splits(table: _Table, name: str, num_tables: int) -> dict[str, np.ndarray]:
    """Row numbers by split: a column says it, or the file's name, or all is train."""
    everything = np.arange(len(table.rows))
    if "split" in table.columns:
        told = [split_of(cell) for cell in table.cells("split")]
        for row, split in enumerate(told):
            if split is None:
                raise DataError("a split must be train, validation or test", where=table.where(row, "split"))
        return {split: everything[np.array(told) == split] for split in dict.fromkeys(told) if split}
    split = split_of(name)
    if split is None and num_tables > 1:
        raise DataError("every table must be named after its split", where=str(table.path))
    return {split or "train": everything}


def _inside(cell: str, files: Mapping[str, str], where: str) -> str:
    """The name of a listed file.

    Raises:
        UnsafeInputError: it points outside the folder.
        DataError: there is no such file.
    """
    if cell.startswith("/") or ".." in Path(cell).parts:
        raise UnsafeInputError(f"a path must stay inside its folder, not `{cell}`", where=where)
    name = Path(cell).as_posix()
    if name not in files:
        raise DataError(f"there is no file `{cell}`", where=where)
    return name


def _label(cell: str, where: str) -> str:
    """Numbers written with a point are no classes, unless they are whole; 007, 1_2 and 1e3 are words."""
    text = cell.strip()
    if text.lower() == "nan":
        return label_text(None, where)
    if WHOLE.fullmatch(text):
        digits = text.partition(".")[0]
        return "0" if digits == "-0" else digits
    return label_text(float(text) if BROKEN.fullmatch(text) else text, where)


def _square(num_columns: int, path: Path) -> tuple[int, int, int]:
    for channels in (1, 3):
        side = round((num_columns / channels) ** 0.5)
        if channels * side * side == num_columns:
            return channels, side, side
    raise DataError(
        f"{num_columns} columns of pixels are no square picture", where=str(path),
        hint=f"name the columns with image= and label=; {AS_CELLS}",
    )  # fmt: skip
