"""parquet: Parquet and Arrow tables with a column of encoded pictures, as the Hugging Face hub keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, missing_package
from lichen.data import pictures
from lichen.data.files import reading
from lichen.data.scan import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    Located,
    Part,
    Scan,
    column,
    common_shape,
    content_of,
    label_text,
    part,
    split_of,
)  # fmt: skip

SUFFIXES = (".parquet", ".arrow", ".feather")


def claims(path: Path) -> bool:
    if path.is_file():
        return path.suffix in SUFFIXES
    return any(file.suffix in SUFFIXES for level in ("*", "*/*") for file in path.glob(level))


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    base = path.parent if path.is_file() else path
    names = sorted(name for name in files if name.endswith(SUFFIXES))
    if not names:
        raise DataError("there are no tables here but hidden ones", where=str(path))
    first = _Table.open(base / names[0])
    image = column(
        first.columns, options.get("image") or first.found("Image"), IMAGE_COLUMNS, "image", first.where
    )
    label = column(
        first.columns, options.get("label") or first.found("ClassLabel"), LABEL_COLUMNS, "label", first.where
    )
    classes = first.class_names(label)
    parts, shapes = {}, []
    for split, members in _divided(base, names).items():
        parts[split], found = _part(base, members, image, label, classes)
        shapes += found
    return Scan(
        parts=parts, columns={"image": image, "label": label}, shape=common_shape(shapes or [(1, 0, 0)]),
        names=classes, options={"image": image},
    )  # fmt: skip


def fetch(located: Located, rows: np.ndarray) -> list[bytes]:
    found: list[bytes] = [b""] * len(rows)
    image = located.options["image"]
    for file in np.unique(located.file[rows]).tolist():
        table = _Table.open(located.path(file))
        wanted = np.flatnonzero(located.file[rows] == file)
        group_of = np.searchsorted(table.starts, located.position[rows[wanted]], side="right") - 1
        for group in np.unique(group_of).tolist():
            cells = table.pictures(group, image)
            for place in wanted[group_of == group].tolist():
                found[place] = cells[int(located.position[rows[place]]) - int(table.starts[group])]
    return found


def _divided(base: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Files by split, as their names or folders say; all train when no name says anything."""
    splits = {name: _split_of(name) for name in names}
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


def _split_of(name: str) -> str | None:
    levels = name.split("/")
    return split_of(levels[-1]) or next((split for level in levels[:-1] if (split := split_of(level))), None)


def _part(
    base: Path, names: list[str], image: str, label: str, classes: list[str] | None
) -> tuple[Part, list[tuple[int, int, int]]]:
    contents: list[bytes] = []
    labels: list[str] = []
    file: list[int] = []
    position: list[int] = []
    shapes: list[tuple[int, int, int]] = []
    for number, name in enumerate(names):
        table = _Table.open(base / name)
        for needed, role in ((image, "image"), (label, "label")):
            column(table.columns, needed, (), role, table.where)
        for group, start in enumerate(table.starts.tolist()):
            cells = table.pictures(group, image)
            contents += [content_of(cell) for cell in cells]
            labels += table.labels(group, label, classes)
            shapes += table.shapes(group, cells, image)
            file += [number] * len(cells)
            position += range(start, start + len(cells))
    return part(contents, labels, files=names, file=file, position=position), shapes


def _label(value: Any, classes: list[str] | None) -> str:
    if classes is None:
        return label_text(value)
    if value is None or value == -1:  # the hub's mark of a hidden label
        return label_text(None)
    if not isinstance(value, int) or not 0 <= value < len(classes):
        raise DataError(f"a label must be one of the {len(classes)} classes, not {value!r}")
    return classes[value]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """An open file: `starts` (G,) is the first row of each group of rows."""

    path: Path
    file: Any
    columns: list[str]
    features: Mapping[str, Any]
    starts: np.ndarray

    @classmethod
    def open(cls, path: Path) -> _Table:
        with reading(path):
            info = path.stat()
        return _table(path, info.st_mtime_ns, info.st_size)

    @property
    def where(self) -> str:
        return str(self.path)

    def found(self, kind: str) -> str | None:
        """The first column that the metadata declares to be of a kind."""
        return next((name for name, feature in self.features.items() if _kind(feature) == kind), None)

    def class_names(self, label: str) -> list[str] | None:
        feature = self.features.get(label, {})
        names = feature.get("names") if _kind(feature) == "ClassLabel" else None
        if names and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise DataError("the names of the classes must be a list of texts", where=self.where)
        return names or None

    def read(self, group: int, name: str) -> Any:
        with _parsing(self.path):
            if self.path.suffix == ".parquet":
                return self.file.read_row_group(group, columns=[name]).column(0)
            self.file[group].column(name).validate(full=True)  # offsets of a mapped file are anyone's
            return self.file[group].column(name)

    def plain(self, cells: Any) -> list[Any]:
        """The cells as Python has them."""
        with _parsing(self.path):
            return cells.to_pylist()

    def pictures(self, group: int, name: str) -> list[bytes]:
        """The encoded pictures of a group.

        Raises:
            DataError: the column holds none, or a cell is empty; names the row.
        """
        import pyarrow as pa

        cells = self.read(group, name)
        if pa.types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
            found = [cell and cell["bytes"] for cell in self.plain(cells)]
        elif any(
            is_kind(cells.type)
            for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
        ):
            found = self.plain(cells)
        else:
            raise DataError(f"column `{name}` must hold encoded pictures, not {cells.type}", where=self.where)
        for row, cell in enumerate(found):
            if not cell:
                raise DataError(
                    "a row must hold its picture; this cell is empty", where=self.cell(group, row, name)
                )
        return found

    def labels(self, group: int, name: str, classes: list[str] | None) -> list[str]:
        """The class of every row of a group as text."""
        texts = []
        for row, value in enumerate(self.plain(self.read(group, name))):
            try:
                texts.append(_label(value, classes))
            except DataError as error:
                raise error.at(self.cell(group, row, name)) from None
        return texts

    def shapes(self, group: int, cells: list[bytes], name: str) -> list[tuple[int, int, int]]:
        found = [(0, 0, 0)] * len(cells)

        def probe(row: int) -> None:
            found[row] = pictures.probe(cells[row])

        pictures.each(probe, len(cells), 0, lambda row: self.cell(group, row, name))
        return found

    def cell(self, group: int, row: int, name: str) -> str:
        return f"{self.where}, row {int(self.starts[group]) + row}, column {name}"


@lru_cache(maxsize=64)
def _table(path: Path, mtime_ns: int, size_bytes: int) -> _Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise missing_package("pyarrow", "vision") from None
    with reading(path), _parsing(path):
        if path.suffix == ".parquet":
            file: Any = pq.ParquetFile(path)
            schema = file.schema_arrow
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        else:
            schema, file = _batches(pa, path)
            sizes = [batch.num_rows for batch in file]
        columns = list(schema.names)
    starts = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
    return _Table(path, file, columns, _features(schema.metadata), starts)


def _batches(pa: Any, path: Path) -> tuple[Any, list[Any]]:
    """The schema and the record batches of an Arrow file or stream, mapped."""
    mapped = pa.memory_map(str(path))
    try:
        reader = pa.ipc.open_file(mapped)
        return reader.schema, [reader.get_batch(place) for place in range(reader.num_record_batches)]
    except pa.ArrowInvalid:
        mapped.seek(0)
        stream = pa.ipc.open_stream(mapped)
        return stream.schema, list(stream)


def _features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """The hub's description of the columns, if the schema carries one."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _kind(feature: Any) -> str | None:
    return feature.get("_type") if isinstance(feature, dict) else None


@contextmanager
def _parsing(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError, LookupError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, not the table's
            raise
        said = str(error).strip().partition("\n")[0]
        raise DataError(f"the table cannot be read: {said}", where=str(path)) from None
