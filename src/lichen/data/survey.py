"""survey: what a source holds before anything is learnt: columns, splits, labels, sizes, rows twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.data import encoder, loading, manifest, pictures, repeats, sources, splits, tabular
from lichen.data import rows as decoded
from lichen.data.columns import AS_CELLS
from lichen.data.labels import are_several, words
from lichen.data.scan import Part, Scan

SPARSE = 4
"""Train rows are at least a fourth of all."""
PROBED = 500
"""Pictures per split whose size is looked up where they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A column of a table: `amounts`, `levels` or `words`, how many cells differ, and how many are empty."""

    name: str
    kind: str
    different: int
    empty: int
    tells_rows_apart: bool
    """Whether every row has a number in a row, or a word, of its own: names, which tell nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was seen.

    Args:
        given: rows of each split as the source has them; `splits` as `prepare.load` would divide them.
        labels: rows per class and split.
        sizes: (height, width) of the smallest, the middle and the largest picture; one when all are equal.
        lengths: bytes of the shortest, the middle and the longest text.
        cells: what each column of a table holds, in train.
        twice: rows whose content stands in an earlier split too (train counts last), by split.
        disagreeing: contents that have more than one label.
    """

    source: str
    path: str
    kind: str
    reader: str
    columns: Mapping[str, str]
    given: Mapping[str, int]
    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    channels: int
    sizes: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]
    cells: tuple[Cells, ...]
    twice: Mapping[str, int]
    within: int
    """Train rows whose content stands in train before them."""
    disagreeing: int
    are_several: bool = False
    """Whether a row may have several labels."""
    refused: str | None = None
    """Why `prepare.load` would not take it so."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Of texts without labels: the columns that might be them, and how many different values each has."""


def survey(
    source: str,
    *,
    image: str | None = None,
    text: str | None = None,
    target: str | None = None,
    label: str | None = None,
    features: Sequence[str] | None = None,
) -> tuple[Survey, Dataset]:
    """What a source holds, and the Dataset that `prepare.load` makes of it.

    A table in which nobody finds pictures or texts is read as one of cells.

    Raises:
        NotFoundError: there is no such source.
        DataError: it cannot be read, or not be learnt from; names the file, row or column.
    """
    place = sources.resolve(source)
    told = loading.Plan(
        image=image, text=text, target=target, label=label, features=tuple(features) if features else None
    )
    reader, scan = _scanned(place, told)
    parts, refused = _divided(scan.parts)
    data = manifest.dataset(
        parts,
        reader=reader,
        options=scan.options,
        columns=scan.columns,
        shape=scan.shape,
        names=scan.names,
        root=place.path,
    )
    names = data.labels
    counts = {
        name: Counter(word for label in rows.labels for word in words(label)) for name, rows in parts.items()
    }
    found = Survey(
        source=source,
        path=str(place.path),
        kind=place.kind,
        reader=reader,
        columns=dict(scan.columns),
        given={name: rows.num_rows for name, rows in scan.parts.items()},
        splits={name: rows.num_rows for name, rows in parts.items()},
        labels={label: {name: counts[name][label] for name in parts} for label in names},
        channels=scan.shape[0] if scan.shape else 0,
        sizes=_sizes(scan, data),
        lengths=_lengths(scan),
        cells=_cells(data),
        twice=_twice(scan.parts),
        within=_within(scan.parts),
        disagreeing=_disagreeing(scan.parts),
        are_several=any(are_several(rows.labels) for rows in scan.parts.values()),
        refused=refused,
        repeats=repeats.repeats(place.path, scan.columns.values()) if {*scan.columns} == {"text"} else {},
    )
    return found, data


def _scanned(place: sources.Place, plan: loading.Plan) -> tuple[str, Scan]:
    try:
        return loading.scanned(place, plan.columns)
    except DataError as error:
        is_near = (error.hint or "").startswith("did you mean") and not place.path.is_file()
        if AS_CELLS not in (error.hint or "") or is_near:  # a folder of pictures, the column misspelt
            raise
    return loading.scanned(place, replace(plan, features=(tabular.EVERY,)).columns)


def _divided(parts: Mapping[str, Part]) -> tuple[dict[str, Part], str | None]:
    """The splits that `prepare.load` would make; where it refuses, those that are there, and its reason."""
    try:
        return loading.divided(parts, loading.Plan(), lambda text: None), None
    except DataError as error:
        return {name: rows for name, rows in parts.items() if rows.num_rows}, error.message


def _sizes(scan: Scan, data: Dataset) -> tuple[tuple[int, int], ...]:
    if scan.shape is None:
        return ()
    if scan.shape[1]:
        return (scan.shape[1:],)
    found = []
    for split in data.splits:
        rows = decoded.read(data, split)
        chosen = np.unique(np.linspace(0, rows.num_rows - 1, PROBED).astype(np.int64))
        found += [pictures.probe(bytes(item))[1:] for item in rows.encoded(chosen)]
    by_area = sorted(found, key=lambda side: side[0] * side[1])
    return by_area[0], by_area[len(by_area) // 2], by_area[-1]


def _lengths(scan: Scan) -> tuple[int, ...]:
    if scan.shape is not None or "features" in scan.columns:
        return ()
    found = np.sort(np.concatenate([rows.length for rows in scan.parts.values()]))
    return int(found[0]), int(found[len(found) // 2]), int(found[-1])


def _cells(data: Dataset) -> tuple[Cells, ...]:
    if "tabular" not in data.schema:
        return ()
    records = data.rows("train").records
    return tuple(_column(name, [record[name] for record in records]) for name in records[0])


def _column(name: str, cells: Sequence[tabular.Cell]) -> Cells:
    found = set(cells)
    has_words = any(isinstance(cell, str) for cell in found)
    kind = "amounts" if encoder.is_amount(found) else "words" if has_words else "levels"
    is_own = len(found) == len(cells) > 1 and (has_words or _are_in_a_row(found))
    return Cells(name=name, kind=kind, different=len(found - {None}), empty=cells.count(None),
                 tells_rows_apart=is_own)  # fmt: skip


def _are_in_a_row(found: set[tabular.Cell]) -> bool:
    """Whether whole numbers are as close as those that count rows, of which other splits have some."""
    whole = [cell for cell in found if isinstance(cell, int)]
    return len(whole) == len(found) and max(whole) - min(whole) < SPARSE * len(found)


def _twice(parts: Mapping[str, Part]) -> dict[str, int]:
    found = {}
    for name, judges in splits.JUDGES:
        if name in parts:
            found[name] = int(
                splits.shared(parts[name], [parts[other] for other in judges if other in parts]).sum()
            )
    return found


def _within(parts: Mapping[str, Part]) -> int:
    return sum(rows.num_rows - len(np.unique(rows.ids)) for name, rows in parts.items() if name == "train")


def _disagreeing(parts: Mapping[str, Part]) -> int:
    """Content is the first half of a digest, content and label together the whole."""
    whole = np.unique(np.concatenate([rows.digests for rows in parts.values()]), axis=0)
    _, counts = np.unique(whole[:, :8], axis=0, return_counts=True)
    return int((counts > 1).sum())


def as_json(found: Survey) -> dict[str, Any]:
    return asdict(found)
