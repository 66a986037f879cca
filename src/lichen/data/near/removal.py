"""removal: which rows say or show what others do, and what is told of each that is taken out for it.

Equal rows are told by their names, near ones as loading tells them, with no row compared with all others; so
it is done again on what is left until nothing more is found.
Paper: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better".

Shapes: N rows of a split, K pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, UsageError
from lichen.core.value import Memory
from lichen.data import rows as decoded
from lichen.data.near import report
from lichen.data.near.pairs import Pairs
from lichen.data.rows import Rows
from lichen.data.splits import JUDGES

Note = Callable[[str], None]
Told = dict[str, Any]


@dataclass(slots=True)
class Removal:
    """What is taken out of a split: `told` says of each row which it is, and for which row it leaves."""

    rows: Rows
    is_kept: np.ndarray = field(init=False)
    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.is_kept = np.ones(self.rows.num_rows, dtype=bool)

    @property
    def kept(self) -> np.ndarray:
        return np.flatnonzero(self.is_kept)

    def remove(self, row: int, other: Rows, other_row: int, distance: float) -> None:
        """Takes a row out for another that it equals (distance 0) or is near."""
        self.is_kept[row] = False
        self.told.append({
            "row": report.place(self.rows, row), "digest": self.rows.digests[row].tobytes().hex(),
            "for": report.place(other, other_row), "split": other.split, "distance": round(distance, 4),
        })  # fmt: skip


def equal_within(found: Removal) -> int:
    """Takes out rows whose content stands in an earlier row; the number of those with another label."""
    rows = found.rows
    _, first, turn = np.unique(rows.ids, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[turn] != np.arange(rows.num_rows))
    for row in again.tolist():
        found.remove(row, rows, int(first[turn[row]]), 0.0)
    return int((rows.targets[again] != rows.targets[first[turn[again]]]).sum()) if len(again) else 0


def near_within(found: Removal, farthest: float | None) -> None:
    """Takes out rows that are near an earlier one which stays.

    Args:
        farthest: distance of near rows at most; None: as loading tells them.
    """
    rows, kind = found.rows, report.kind_of(found.rows)
    seen, chosen = _prints(found)
    while len(chosen) > 1:
        pairs = _near(kind, seen, seen, farthest)
        count = len(found.told)
        for earlier, later, distance in _ordered(pairs):
            if found.is_kept[chosen[earlier]] and found.is_kept[chosen[later]]:
                found.remove(int(chosen[later]), rows, int(chosen[earlier]), distance)
        if len(found.told) == count:
            return
        stays = np.flatnonzero(found.is_kept[chosen])
        seen, chosen = kind.taken(seen, stays), chosen[stays]


def near_judges(found: Removal, judge: Rows, farthest: float | None) -> None:
    """Takes out rows that are near a row of a split which judges what is learnt from them."""
    kind = report.kind_of(found.rows)
    seen, chosen = _prints(found)
    place = kind.searched(judge)
    pairs = _near(kind, seen, kind.fingerprints(judge, place), farthest)
    for left, right, distance in zip(pairs.left, pairs.right, pairs.distance, strict=True):
        if found.is_kept[chosen[left]]:
            found.remove(int(chosen[left]), judge, int(place[right]), float(distance))


def _prints(found: Removal) -> tuple[Any, np.ndarray]:
    """Fingerprints of what is left, and which rows they are of."""
    kind = report.kind_of(found.rows)
    sampled = kind.searched(found.rows)
    chosen = sampled[found.is_kept[sampled]]
    whole = kind.fingerprints(found.rows, sampled)
    return kind.taken(whole, np.flatnonzero(found.is_kept[sampled])), chosen


def _near(kind: Any, left: Any, right: Any, farthest: float | None) -> Pairs:
    pairs: Pairs = kind.compared(left, right)[0].pairs
    return pairs if farthest is None else pairs.take(pairs.distance <= farthest)


def _ordered(pairs: Pairs) -> list[tuple[int, int, float]]:
    """Pairs of one set as (earlier, later, distance), by the later row, its nearest first."""
    earlier, later = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    order = np.lexsort((earlier, pairs.distance, later))
    order = order[earlier[order] != later[order]]
    return [(int(earlier[at]), int(later[at]), float(pairs.distance[at])) for at in order]


def of_judges(data: Dataset, note: Note) -> dict[str, Removal]:
    """By split what is near rows that judge it: train by validation and test, validation by test."""
    read = {name: decoded.read(data, name) for name in data.splits if data.num_rows(name)}
    found = {}
    for name, judges in JUDGES:
        if name in read:
            found[name] = Removal(read[name])
            for judge in judges:
                if judge in read:
                    near_judges(found[name], read[judge], None)
            tell(found[name], note)
    return found


def tell(found: Removal, note: Note) -> None:
    """Notes how many rows are taken out for what, and the first of each."""
    split = found.rows.split
    for is_equal, what in ((True, "equal"), (False, "are near")):
        for other in ("train", "validation", "test"):
            some = [one for one in found.told
                    if one["split"] == other and (one["distance"] == 0.0) == is_equal]  # fmt: skip
            if some:
                whom = "another train row" if other == split else f"a {other} row"
                note(f"{len(some)} {split} rows that {what} {whom} are removed, such as {some[0]['row']}"
                     f" for {some[0]['for']}")  # fmt: skip
    looked = len(report.kind_of(found.rows).searched(found.rows))
    if looked < found.rows.num_rows:
        note(f"near duplicates were looked for among {looked} of {found.rows.num_rows} {split} rows")


def recorded(data: Dataset, split: str, found: Removal, memory: Memory) -> dict[str, Any] | None:
    """The entry of a manifest that says what was taken out of a split, what was before it included."""
    told = [*removed(data, split), *found.told]
    if not told:
        return None
    lines = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return {"num_rows": len(told), "blob": memory.put(lines.encode())}


def removed(data: Dataset, split: str = "train") -> list[Told]:
    """Of each row that was taken out of a split: `row`, `digest`, and `for` which row of which `split`, how
    far apart they are (`distance`)."""
    entry = data.splits[split].get("removed")
    return json.loads(bytes(data.blobs.get(entry["blob"]))) if entry else []


def of_train(data: Dataset, *, farthest: float | None, note: Note) -> Removal:
    """What is taken out of train: equal rows, rows near those of validation, and rows near each other.

    Raises:
        UsageError: rows are what an agent saw, or some were drawn from a generator.
        DataError: no row is left.
    """
    rows = data.rows("train")
    if data.num_synthetic:
        raise UsageError("rows must be real to be told apart; some are synthetic",
                         hint="deduplicate before rows are added")  # fmt: skip
    found = Removal(rows)
    if num_other := equal_within(found):
        note(f"{num_other} of the equal rows have another label than the one that stays, the first")
    if data.num_rows("validation"):
        near_judges(found, data.rows("validation"), farthest)
    near_within(found, farthest)
    tell(found, note)
    if not found.is_kept.any():
        raise DataError("every train row equals or is near another row", hint="a smaller `farthest`")
    return found
