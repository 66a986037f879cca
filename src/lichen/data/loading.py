"""loading: a source's name becomes a Dataset: find it, scan it, split it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from lichen.core import find
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, OptionError
from lichen.data import manifest, sources, splits
from lichen.data import rows as decoded
from lichen.data.columns import SPOKEN
from lichen.data.near import removal
from lichen.data.near import report as near
from lichen.data.scan import Part, Scan

READ = (
    "pictures or texts in one folder per class, plain text files, IDX files, and .parquet, .csv, .tsv or "
    ".jsonl tables of pictures, texts or conversations"
)
DOCUMENTS = "documents"
LAST = ("folder", DOCUMENTS)
"""Readers that are asked last: pictures also lie beside tables, and words about them beside pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the rows of a source are read and divided; see `prepare.load` for each."""

    image: str | None = None
    text: str | None = None
    features: tuple[str, ...] | None = None
    target: str | None = None
    label: str | None = None
    group: str | None = None
    messages: str | None = None
    prompt: str | None = None
    answer: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    unit: str | None = None
    label_columns: tuple[str, ...] | None = None
    separator: str | None = None
    classes: tuple[str, ...] | None = None
    validation: float = 0.1
    test: float = 0.2
    duplicates: str = "drop"
    near: str = "keep"
    num_train: int | None = None
    keep: bool = False

    @property
    def columns(self) -> dict[str, Any]:
        """What readers are told: the columns that fill a role, and what a row of text files is.

        Raises:
            OptionError: they are told twice where labels stand, or pairs of texts are to have some.
        """
        if self.label_columns and (self.label or self.separator):
            raise OptionError(
                "labels stand in one column (label, separator) or in label_columns, not in both"
            )
        if self.target and (self.label or self.label_columns or self.image):
            raise OptionError(
                "rows with a `target` are pairs of texts; they have neither labels nor pictures"
            )
        if self.target and self.target == self.text:
            raise OptionError(f"`text` and `target` must be two columns, not both `{self.text}`")
        if self.features and (self.image or self.text or self.target or self.label_columns):
            raise OptionError("rows of `features` hold cells and one label; they have no other columns")
        return {
            "image": self.image, "text": self.text, "target": self.target, "label": self.label,
            "features": list(self.features) if self.features else None,
            "group": self.group, "unit": self.unit, "separator": self.separator,
            **{role: getattr(self, role) for role in SPOKEN},
            "label_columns": list(self.label_columns) if self.label_columns else None,
        }  # fmt: skip


def load(name: str, plan: Plan, *, note: Callable[[str], None]) -> Dataset:
    """The Dataset of a source.

    Args:
        note: told, in sentences, which rows of two splits are equal and nearly so.
    """
    place = sources.resolve(name)
    reader, scan = scanned(place, plan.columns)
    scan = scan if plan.classes is None else replace(scan, names=plan.classes)
    try:
        parts = divided(scan.parts, plan, note)
    except DataError as error:
        raise error.at(str(place.path)) from None
    data = manifest.dataset(
        parts, reader=reader, options=scan.options, columns=scan.columns, shape=scan.shape, names=scan.names,
        root=place.path,
    )  # fmt: skip
    data = kept(data, parts, scan) if plan.keep else data
    data = apart(data, note) if plan.near == "drop" else data
    near.report(data, note)
    return data


def apart(data: Dataset, note: Callable[[str], None]) -> Dataset:
    """The same without rows of train and validation that are near those which judge them."""
    for name, found in removal.of_judges(data, note).items():
        if found.told:
            data = manifest.only(data, name, found.kept, removed=partial(removal.recorded, data, name, found))
    return data


def scanned(place: sources.Place, options: Mapping[str, Any]) -> tuple[str, Scan]:
    """The reader that claims a place, and what it found there.

    Raises:
        DataError: no reader knows the files; or there are no rows.
        OptionError: an option means nothing to the reader.
    """
    readers = find.shelf("data/readers")
    for name in sorted(readers, key=lambda name: (name in LAST and LAST.index(name) + 1, name)):
        reader = find.load(f"lichen.data.readers.{name}")
        if reader.claims(place.path, options):
            if options.get("unit") is not None and name != DOCUMENTS:
                raise OptionError("`unit` says what a row of text files is; these are none",
                                  where=str(place.path))  # fmt: skip
            scan = reader.scan(place.path, options, sources.files(place))
            if not any(rows.num_rows for rows in scan.parts.values()):
                raise DataError("the data must have rows; there are none", where=str(place.path))
            return name, scan
    raise DataError(f"no reader knows what `{place.name}` holds", where=str(place.path), hint=READ)


def divided(parts: Mapping[str, Part], plan: Plan, note: Callable[[str], None]) -> dict[str, Part]:
    """Train, validation and test as the plan says."""
    found = splits.carve(parts, validation=plan.validation, test=plan.test)
    # Pairs of one source text are carved together too, but nobody promised it of splits that they came with.
    alike = splits.shared if plan.group is None else splits.related
    told = "that also stand in a split that judges them"
    told += "" if plan.group is None else f", or whose `{plan.group}` does"
    if plan.duplicates == "refuse":
        splits.refuse(found, alike)
    if plan.duplicates == "keep":
        for name, count in splits.counts(found, alike).items():
            note(f"kept {count} {name} rows {told}")
    if plan.duplicates == "drop":
        apart = splits.separate(found, alike)
        for name, count in apart.dropped.items():
            note(f"dropped {count} {name} rows {told}")
        found = apart.parts
    if plan.num_train is not None and "train" in found:
        found["train"] = splits.limit(found["train"], plan.num_train)
    return found


def kept(data: Dataset, parts: Mapping[str, Part], scan: Scan) -> Dataset:
    """The same rows in blobs of the Dataset: pixels as pixels, encoded pictures and texts as they are."""
    placed, contents, form = {}, {}, "pixels"
    for name, part in parts.items():
        found = decoded.read(data, name).encoded(np.arange(part.num_rows))
        if isinstance(found, np.ndarray):
            contents[name] = np.ascontiguousarray(found).tobytes()
            position, length = np.arange(part.num_rows), np.zeros(part.num_rows, np.int64)
        else:
            form, contents[name] = "encoded", b"".join(found)
            length = np.array([len(row) for row in found], dtype=np.int64)
            position = np.cumsum(length) - length
        placed[name] = replace(
            part, files=(), file=np.zeros_like(part.file), position=position, length=length
        )
    return manifest.dataset(
        placed, reader="arrays", options={"form": form}, columns=scan.columns, shape=scan.shape,
        names=scan.names, contents=contents,
    )  # fmt: skip
