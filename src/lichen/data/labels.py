"""labels: what says the classes of a row: one word, a list of words, or a column of 0 and 1 for each.

A row of one class has its label as text, a row that may have several a tuple of them, sorted, each once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lichen.core.errors import DataError
from lichen.data.columns import label_text

Label = str | tuple[str, ...]
BETWEEN = "\x1f"
"""The unit separator of ASCII: between labels where they are one text."""
TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no"}


def several(labels: Iterable[Any], where: str | None = None) -> tuple[str, ...]:
    """The label of a row that may have none, one or more classes."""
    return tuple(sorted({label_text(label, where) for label in labels}))


def listed(cell: str, separator: str) -> tuple[str, ...]:
    """`cat|dog` as its classes; an empty cell has none."""
    return several(word.strip() for word in cell.split(separator) if word.strip())


def marked(cells: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names of the columns that hold a 1.

    Raises:
        DataError: a cell is neither 0 nor 1.
    """
    found = []
    for name, cell in cells.items():
        number = float(cell) if isinstance(cell, int | float) else None
        text = str(cell).strip().lower() if number is None else f"{number:g}"
        if cell is None or text not in TRUE | FALSE:
            raise DataError(
                f"a column of one label must hold 0 or 1, not {str(cell)[:80]!r}",
                where=f"{where}, column {name}",
            )
        found += [name] if text in TRUE else []
    return several(found)


def as_text(label: Label) -> str:
    """A label as one text, by which rows are told apart."""
    return label if isinstance(label, str) else BETWEEN.join(label)


def words(label: Label) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else label


def are_several(labels: Sequence[Label]) -> bool:
    """Whether these are labels of rows that may have several."""
    return bool(labels) and not isinstance(labels[0], str)
