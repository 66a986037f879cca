"""says: which columns of a table say the classes of its rows, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lichen.core.errors import DataError
from lichen.data.columnar import Table
from lichen.data.columns import column, label_text
from lichen.data.labels import Label, listed, marked, several


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
