"""tabular: the rows of a table: cells of numbers and words under the names of their columns.

A row is a JSON object in UTF-8, its columns in the order that the data names them. Cells of files are read as
JSON has them, so a table is the same rows in CSV, Parquet, lines of JSON and Python.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.errors import DataError, OptionError
from lichen.data.columns import LABEL_COLUMNS, column
from lichen.data.texts import Texts

NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?|[+-]?\.\d+([eE][+-]?\d+)?")
"""What a cell of text is a number by: `007` is a word."""
EMPTY = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "?")
"""What stands in text files where nothing is."""
TRUTHS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
"""What JSON calls `true` and `false`, as other programs write it into text files."""
EVERY, BUT = "*", "-"
"""In place of columns: all but those that have another role, and before the name of one: but this."""
Cell = str | int | float | None
Record = Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Tabular(Texts):
    """One split of a table."""

    def __repr__(self) -> str:
        return f"Tabular({self.split}: {self.num_rows} rows)"

    @property
    def records(self) -> list[dict[str, Cell]]:
        """Every row as `{column: cell}`."""
        return [record(text.encode()) for text in self.texts]


def row(record: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """A row of these columns.

    Raises:
        DataError: a column is missing, or a cell holds neither a number nor a word; names it.
    """
    if lacking := [name for name in names if name not in record]:
        raise DataError(f"a row must have the column `{lacking[0]}`; this one has none")
    cells = {name: cell(record[name], name) for name in names}
    return json.dumps(cells, ensure_ascii=False, separators=(",", ":")).encode()


def record(row: bytes) -> dict[str, Cell]:
    """The cells of a row, by column."""
    found: dict[str, Cell] = json.loads(row)
    return found


def cell(value: Any, name: str) -> Cell:
    """A cell as rows keep it: a whole number without a point, a word without blanks around it, None if empty.

    A word that usually says that nothing is there, such as NA, is empty; True and TRUE are JSON's `true`.

    Raises:
        DataError: it is none of these.
    """
    is_time = isinstance(value, np.datetime64 | np.timedelta64)  # some of these would be numbers
    value = value.item() if hasattr(value, "item") and not is_time else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = value.strip()
        if not NUMBER.fullmatch(value):
            return _word(value, name)
        value = float(value) if not value.lstrip("+-").isdecimal() else int(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"a cell of `{name}` must be a number or a word, not {str(value)[:80]!r}")
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


def _word(value: str, name: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"a cell of `{name}` has half a character") from None
    return None if value in EMPTY else TRUTHS.get(value, value)


def numbers(cells: Sequence[Cell], name: str) -> np.ndarray:
    """float64 (N,); NaN where a cell is empty.

    Raises:
        DataError: a cell is a word.
    """
    if word := next((cell for cell in cells if isinstance(cell, str)), None):
        raise DataError(f"column `{name}` holds numbers, not {word[:80]!r}")
    return np.array([np.nan if cell is None else cell for cell in cells], np.float64)


def roles_of(columns: Sequence[str], options: Mapping[str, Any], where: str) -> dict[str, str]:
    """The label's column, the group's, that of splits, and `features`: the others' as JSON.

    Raises:
        DataError: a column is not there; hints at the nearest.
        OptionError: columns are told twice, or none is left.
    """
    roles = {}
    if options.get("label") != "":
        roles["label"] = column(columns, options.get("label"), LABEL_COLUMNS, "label", where)
    if group := options.get("group"):
        roles["group"] = column(columns, group, (), "group", where)
    if "split" in columns:
        roles["split"] = "split"
    taken = set(roles.values())
    names = _chosen(columns, list(options["features"]), taken, where)
    found = [column(columns, name, (), "features", where) for name in names]
    if len(set(found)) < len(found) or taken & set(found) or not found:
        raise OptionError("columns of `features` must be told once each and have no other role", where=where)
    return {**roles, "features": json.dumps(found, ensure_ascii=False)}


def _chosen(columns: Sequence[str], told: list[str], taken: set[str], where: str) -> list[str]:
    """The columns that are told, or every other one but those to be left out."""
    if told[0] != EVERY:
        return told
    left_out = [column(columns, name.removeprefix(BUT), (), "features", where) for name in told[1:]]
    return [name for name in columns if name not in taken and name not in left_out]
