"""columns: which column of a table plays which role, and what a label may be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, OptionError, nearest

IMAGE_COLUMNS = ("image", "img", "picture", "photo", "jpeg", "png", "file_name", "filename", "file", "path")
TEXT_COLUMNS = (
    "text", "sentence", "content", "document", "review", "article", "comment", "tweet", "message", "body",
)  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "class", "target", "category", "fine_label", "digit", "y")
SEVERAL = ("label_columns", "separator")
"""Options about rows that may have several labels."""
SPOKEN = ("messages", "prompt", "answer", "chosen", "rejected")
"""Columns that make a conversation, or a pair of answers."""
ROLES = ("image", "text", "features", "target", "label", "group", *SEVERAL, *SPOKEN)
"""Options that name columns or say how to read them."""
AS_CELLS = 'features=["*"] reads a table of numbers and words'
"""The hint where a table holds neither pictures nor texts."""
SHOWN = 8
"""Columns that an error lists."""


def usual(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The columns that have one of these names, in any case."""
    return [name for name in columns if name.lower() in names]


def require_apart(columns: Sequence[str], where: str) -> None:
    """Refuses columns of one name: a row would have the cell of one of them, and nobody could say which.

    Those without a name, as other programs write numbers of rows, nobody asks for.

    Raises:
        DataError: there are such columns.
    """
    named = [name for name in columns if name]
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise DataError(f"a column must be named once; `{twice}` is named again", where=where)


def column(columns: Sequence[str], told: str | None, names: Sequence[str], role: str, where: str) -> str:
    """The column that fills a role: the one told, else the first usual name.

    Raises:
        DataError: there is none; hints at the nearest.
    """
    if told is not None and told in columns:
        return told
    if told is not None:
        raise DataError(f"there is no column `{told}`", where=where, hint=nearest(told, columns))
    lower = {name.lower(): name for name in reversed(columns)}
    for name in names:
        if name in lower:
            return lower[name]
    near = [name for name in columns if difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.75)]
    known = ", ".join(list(columns)[:SHOWN]) + (
        f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    )
    hint = f"did you mean {role}=`{near[0]}`?" if near else f"name it with {role}=; columns: {known}"
    if role in ("image", "text"):
        hint += f"; {AS_CELLS}"
    raise DataError(f"no column looks like the {role}", where=where, hint=hint)


def refuse(options: Mapping[str, Any], names: Sequence[str], what: str, path: Path) -> None:
    """Refuses options about columns that a source does not have.

    Raises:
        OptionError: one is given.
    """
    for name in names:
        if options.get(name) is not None:
            raise OptionError(f"{what} has no columns, so `{name}` means nothing here", where=str(path))


def label_text(label: Any, where: str | None = None) -> str:
    """A class label as text.

    Raises:
        DataError: the label is missing, or a number that is no class.
    """
    if isinstance(label, bool | np.bool_):
        return str(int(label))
    if isinstance(label, int | np.integer):
        return str(int(label))
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    if isinstance(label, str) and label:
        return label
    if label is None or label == "" or (isinstance(label, float | np.floating) and np.isnan(label)):
        raise DataError(
            "every row must have a label; this one has none", where=where, hint="drop the row or name it"
        )
    raise DataError(
        f"a label must be a class (a word or a whole number), not {label!r}", where=where,
        hint="name another column with label=",
    )  # fmt: skip
