"""targets: the labels of rows that the caller holds: numbers of classes, words, several, or marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lichen.core.errors import DataError
from lichen.data.columns import label_text
from lichen.data.labels import Label, marked, several


def words(targets: Any, labels: Sequence[str] | None) -> list[Label]:
    """The label of every row.

    Raises:
        DataError: a target is no class; names the row.
    """
    if getattr(targets, "ndim", 1) == 2:
        return _marked(targets.tolist(), labels)
    found = targets.tolist() if hasattr(targets, "tolist") else list(targets)
    return [
        several(_text(one, labels, f"targets, row {row}") for one in target)
        if isinstance(target, list | tuple | set | frozenset)
        else _text(target, labels, f"targets, row {row}")
        for row, target in enumerate(found)
    ]


def _text(target: Any, labels: Sequence[str] | None, where: str) -> str:
    text = str(label_text(target, where))
    if labels is None or isinstance(target, str):
        return text
    if not 0 <= int(text) < len(labels):
        raise DataError(f"a target must be below the {len(labels)} labels, not {text}", where=where)
    return str(labels[int(text)])


def _marked(rows: list[list[Any]], labels: Sequence[str] | None) -> list[Label]:
    """Labels of rows of 0 and 1, one for each label."""
    width = len(rows[0]) if rows else 0
    told = list(labels) if labels is not None else [str(place) for place in range(width)]
    if width != len(told):
        raise DataError(f"targets of {width} columns must have as many labels, not {len(told)}")
    return [marked(dict(zip(told, row, strict=True)), f"targets, row {number}")
            for number, row in enumerate(rows)]  # fmt: skip


def names(labels: Sequence[str] | None, targets: Any) -> list[str] | None:
    """The classes in order, where the caller or the columns of the targets say them."""
    if labels is None and getattr(targets, "ndim", 1) == 2:
        return [str(place) for place in range(targets.shape[1])]
    return list(labels) if labels is not None else None
