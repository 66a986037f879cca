"""tabular: what a person hands in becomes the numbers of a table's row that a net takes.

Shapes: N rows, W numbers of a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lichen.core.errors import DataError, nearest
from lichen.data import encoder, tabular


def typed(text: str, piped: bytes | None) -> list[Any]:
    """The rows that a word of the command line means: a JSON object, or a line of them each."""
    lines = [text] if piped is None else piped.decode(errors="replace").splitlines()
    return [_record(line) for line in lines if line.strip()]


def _record(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise DataError('a row is a JSON object, such as {"age": 30}', where=line[:80]) from None


def listed(inputs: Any) -> list[Any]:
    """The rows one by one: of an object, a list of them, or a table with `to_dict` as pandas has it."""
    if hasattr(inputs, "to_dict"):
        return list(inputs.to_dict("records"))
    return list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]


def decoded(item: Any, where: str, assets: Mapping[str, Any]) -> np.ndarray:
    """float32 (W,) of one row, `{column: cell}` or the bytes of a stored one.

    Raises:
        DataError: a column is missing or unknown, or a cell is none; names it.
    """
    told = encoder.of(assets["encoder"])
    record = _record(item.decode("utf-8", "replace")) if isinstance(item, bytes) else item
    if not isinstance(record, Mapping):
        raise DataError(f"a row must be cells by column, not {type(item).__name__}", where=where)
    if unknown := [name for name in record if name not in told.names]:
        raise DataError(f"there is no column `{unknown[0]}`", where=where,
                        hint=nearest(str(unknown[0]), told.names))  # fmt: skip
    try:
        cells = json.loads(tabular.row(record, told.names))
        return told.encode([cells])[0]
    except DataError as error:
        raise error.at(where) from None
