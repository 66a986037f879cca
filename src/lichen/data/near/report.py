"""report: says, per pair of splits, how many rows are nearly equal, and which are nearest.

Rows that are exactly equal do not count here: loading has dealt with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import LichenError, UsageError
from lichen.data import rows as decoded
from lichen.data.images import Images
from lichen.data.near import pictures, texts
from lichen.data.near.pairs import Likeness
from lichen.data.observations import Observations
from lichen.data.splits import JUDGES
from lichen.data.tabular import Tabular


def report(data: Dataset, note: Callable[[str], None]) -> None:
    """Notes how many rows of each judging split are alike to rows of those it judges."""
    try:
        found = {name: decoded.read(data, name) for name in data.splits if data.num_rows(name)}
        if any(isinstance(rows, Observations | Tabular) for rows in found.values()):
            return
        kind = kind_of(next(iter(found.values())))
        chosen = {name: kind.sample(rows) for name, rows in found.items()}
        seen = {name: kind.fingerprints(rows, chosen[name]) for name, rows in found.items()}
    except LichenError as error:  # what reads the row will say it again, and stop
        note(f"near duplicates were not looked for: {error.message}")
        return
    for name, judge in ((name, judge) for name, judges in JUDGES for judge in judges):
        if name in found and judge in found:
            for likeness in kind.compared(seen[judge], seen[name]):
                if said := _said(likeness, found[judge], chosen[judge], found[name], chosen[name]):
                    note(said)
    for name, rows in found.items():
        if len(chosen[name]) < rows.num_rows:
            note(f"near duplicates were looked for among {len(chosen[name])} of {rows.num_rows} {name} rows")


def kind_of(rows: decoded.Rows) -> Any:
    """What compares rows of a kind.

    Raises:
        UsageError: nothing does.
    """
    if isinstance(rows, Observations | Tabular):
        what = "observations" if isinstance(rows, Observations) else "rows of tables"
        raise UsageError(f"near duplicates are looked for among pictures or texts, not {what}")
    return pictures if isinstance(rows, Images) else texts


def _said(
    likeness: Likeness,
    judge: decoded.Rows,
    judge_rows: np.ndarray,
    rows: decoded.Rows,
    other_rows: np.ndarray,
) -> str | None:
    """The count and the nearest pair of rows that are not equal; None where there are none."""
    left, right = judge_rows[likeness.pairs.left], other_rows[likeness.pairs.right]
    is_other = judge.ids[left] != rows.ids[right]
    if not is_other.any():
        return None
    best = int(np.flatnonzero(is_other)[likeness.pairs.distance[is_other].argmin()])
    both = f"{place(judge, left[best])} and {place(rows, right[best])}"
    count = len(np.unique(left[is_other]))
    alike = likeness.one if count == 1 else likeness.many
    return f"{count} {judge.split} {alike} {rows.split} (kept), such as {both}"


def place(rows: decoded.Rows, row: int) -> str:
    """The file of a row below the data's folder, and its place in it."""
    return rows.located.below(row) or f"{rows.split}, row {row}"
