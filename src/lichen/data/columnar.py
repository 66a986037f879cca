"""columnar: Parquet and Arrow files as groups of rows, of which columns are read one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, missing_package
from lichen.data.files import reading

SUFFIXES = (".parquet", ".arrow", ".feather")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """An open file: `starts` (G,) is the first row of each group of rows."""

    path: Path
    file: Any
    columns: list[str]
    types: Mapping[str, Any]
    features: Mapping[str, Any]
    starts: np.ndarray

    @classmethod
    def open(cls, path: Path) -> Table:
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
        feature = _item(self.features.get(label, {}))
        names = feature.get("names") if _kind(feature) == "ClassLabel" else None
        if names and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise DataError("the names of the classes must be a list of texts", where=self.where)
        return names or None

    def read(self, group: int, name: str) -> Any:
        with parsing(self.path):
            if self.path.suffix == ".parquet":
                return self.file.read_row_group(group, columns=[name]).column(0)
            self.file[group].column(name).validate(full=True)  # offsets of a mapped file are anyone's
            return self.file[group].column(name)

    def plain(self, cells: Any) -> list[Any]:
        """The cells as Python has them."""
        with parsing(self.path):
            return cells.to_pylist()

    def cell(self, group: int, row: int, name: str | None = None) -> str:
        place = f"{self.where}, row {int(self.starts[group]) + row}"
        return f"{place}, column {name}" if name else place


@lru_cache(maxsize=64)
def _table(path: Path, mtime_ns: int, size_bytes: int) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise missing_package("pyarrow", "text") from None
    with reading(path), parsing(path):
        if path.suffix == ".parquet":
            file: Any = pq.ParquetFile(path)
            schema = file.schema_arrow
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        else:
            schema, file = _batches(pa, path)
            sizes = [batch.num_rows for batch in file]
        columns, types = list(schema.names), dict(zip(schema.names, schema.types, strict=True))
    starts = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
    return Table(path, file, columns, types, _features(schema.metadata), starts)


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


def _item(feature: Any) -> Any:
    """What a list is of, as the hub describes it; anything else is itself."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature.get("feature", feature) if _kind(feature) in ("Sequence", "List", "LargeList") else feature


def _kind(feature: Any) -> str | None:
    return feature.get("_type") if isinstance(feature, dict) else None


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError, LookupError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, not the table's
            raise
        said = str(error).strip().partition("\n")[0]
        raise DataError(f"the table cannot be read: {said}", where=str(path)) from None
