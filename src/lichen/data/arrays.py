"""arrays: arrays and texts that the caller holds become a Dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from lichen.core import session
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, nearest
from lichen.data import bitext as pairs_of
from lichen.data import conversations as spoken
from lichen.data import manifest, pixels, tabular
from lichen.data import splits as policy
from lichen.data import targets as targets_of
from lichen.data.labels import Label
from lichen.data.near import report as near
from lichen.data.scan import Part, content_of, grouped, part


def arrays(
    images: Any,
    targets: Any,
    labels: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    duplicates: Literal["refuse", "drop"] = "refuse",
) -> Dataset:
    """A Dataset of arrays; rows are copied into its blobs.

    Args:
        images: (N, H, W), (N, C, H, W) or (N, H, W, C); uint8, or floats in [0, 1]; numpy or torch.
        targets: (N,) whole numbers below `len(labels)`, or words; where rows may have several labels, (N, K)
            of 0 and 1, or a list of these for each row.
        labels: class names in order; None: the sorted targets.
        splits: the split of each row; None: validation and test are carved by hash.
        duplicates: of rows that `splits` puts into two of them: refuse, or drop them from the one that is
            judged. Near duplicates are kept and reported.

    Raises:
        DataError: lengths differ, pixels are NaN or out of range, a target is no class; names the row. Or a
            row stands in two splits.
    """
    pixels_NCHW = pixels.of_arrays(images)
    words = targets_of.words(targets, labels)
    if len(words) != len(pixels_NCHW):
        raise DataError(
            f"there must be one target per image: {len(pixels_NCHW)} images, {len(words)} targets"
        )
    if len(words) == 0:
        raise DataError("there must be at least one row; the arrays are empty")
    rows = part(
        [content_of(row) for row in pixels_NCHW], words, files=(), file=0, position=np.arange(len(words))
    )
    parts = _divided(rows, splits, validation, test, duplicates)
    names = targets_of.names(labels, targets)
    return _reported(held(parts, pixels_NCHW, columns={"image": "images", "label": "targets"}, names=names))


def texts(
    texts: Sequence[str],
    targets: Any = None,
    labels: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    duplicates: Literal["refuse", "drop"] = "refuse",
) -> Dataset:
    """A Dataset of texts; they are copied into its blobs.

    Args:
        targets: (N,) whole numbers below `len(labels)`, or words; None: texts without labels.
        labels: class names in order; None: the sorted targets.
        splits: the split of each row; None: validation and test are carved by hash.
        duplicates: of rows that `splits` puts into two of them: refuse, or drop them from the one that is
            judged. Near duplicates are kept and reported.

    Raises:
        DataError: lengths differ, a text is none, a target is no class; names the row. Or a row stands in
            two splits, or there are labels and no targets.
    """
    if labels is not None and targets is None:
        raise DataError("`labels` are the names of classes; which one each text has is told by `targets`",
                        hint="li.texts(texts, targets) takes words")  # fmt: skip
    encoded = [_utf8(text, f"texts, row {row}") for row, text in enumerate(texts)]
    words = targets_of.words(targets, labels) if targets is not None else [""] * len(encoded)
    if len(words) != len(encoded):
        raise DataError(f"there must be one target per text: {len(encoded)} texts, {len(words)} targets")
    if not encoded:
        raise DataError("there must be at least one row; there are no texts")
    columns = {"text": "texts", **({"label": "targets"} if targets is not None else {})}
    parts = _divided(_lying(encoded, words), splits, validation, test, duplicates)
    return _reported(_written(parts, encoded, columns, targets_of.names(labels, targets)))


def bitext(
    texts: Sequence[str],
    targets: Sequence[str],
    splits: Sequence[str] | None = None,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    duplicates: Literal["refuse", "drop"] = "refuse",
) -> Dataset:
    """A Dataset of pairs of texts, such as sentences and their translations; they are copied into its blobs.

    Args:
        targets: what each text is to become.
        splits: the split of each pair; None: validation and test are carved by hash, pairs of equal texts
            together.
        duplicates: of pairs that `splits` puts into two of them: refuse, or drop them from the one that is
            judged. Near duplicates are kept and reported.

    Raises:
        DataError: lengths differ, a text is none or empty; names the row. Or a pair stands in two splits.
    """
    sides = [[_utf8(text, f"{name}, row {row}") for row, text in enumerate(given)]
             for name, given in (("texts", texts), ("targets", targets))]  # fmt: skip
    if len(sides[0]) != len(sides[1]):
        raise DataError(f"there must be one target per text: {len(sides[0])} texts, {len(sides[1])} targets")
    encoded = [pairs_of.joined(source, target, f"pair {row}")
               for row, (source, target) in enumerate(zip(*sides, strict=True))]  # fmt: skip
    if not encoded:
        raise DataError("there must be at least one row; there are no pairs")
    rows = grouped(_lying(encoded, [""] * len(encoded)), [pairs_of.source_of(pair) for pair in encoded])
    parts = _divided(rows, splits, validation, test, duplicates)
    return _reported(_written(parts, encoded, {"text": "texts", "target": "targets"}, None))


def table(
    columns: Any,
    targets: Any,
    labels: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    duplicates: Literal["refuse", "drop"] = "refuse",
) -> Dataset:
    """A Dataset of the rows of a table; they are copied into its blobs.

    Args:
        columns: cells by column, {"age": [31, 52], "town": ["Bonn", None]}; or a table of pandas.
        targets: as `texts` takes them, or the name of a column.
        labels: class names in order; None: the sorted targets.
        splits: as `texts` has it. duplicates: likewise.

    Raises:
        DataError: columns differ in length, a cell is neither a number nor a word, a target is no class;
            names the row. Or a row stands in two splits.
    """
    held = {str(name): list(columns[name]) for name in columns}
    if isinstance(targets, str):
        if targets not in held:
            raise DataError(f"there is no column `{targets}`", hint=nearest(targets, held))
        targets = held.pop(targets)
    words = targets_of.words(targets, labels)
    if odd := next((name for name, cells in held.items() if len(cells) != len(words)), None):
        raise DataError(
            f"there must be one cell per target: {len(words)} targets, {len(held[odd])} in `{odd}`"
        )
    if not held or not words:
        raise DataError("there must be at least one row and one column; the table is empty")
    encoded = []
    for number, cells in enumerate(zip(*held.values(), strict=True)):
        try:
            encoded.append(tabular.row(dict(zip(held, cells, strict=True)), list(held)))
        except DataError as error:
            raise error.at(f"row {number}") from None
    roles = {"features": json.dumps(list(held), ensure_ascii=False), "label": "targets"}
    parts = _divided(_lying(encoded, words), splits, validation, test, duplicates)
    return _written(parts, encoded, roles, targets_of.names(labels, targets))


def conversations(
    rows: Sequence[Mapping[str, Any]],
    splits: Sequence[str] | None = None,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    duplicates: Literal["refuse", "drop"] = "refuse",
) -> Dataset:
    """A Dataset of conversations, or of pairs of answers; they are copied into its blobs.

    Args:
        rows: each `{"messages": [{"role", "content"}, ...]}`, `{"prompt", "answer"}`, or
            `{"prompt", "chosen", "rejected"}`; the latter are texts or messages. `system` may stand beside
            them, and `context` or `input` beside a `question` or an `instruction`.
        splits: the split of each row; None: validation and test are carved by hash.
        duplicates: as `texts` has it.

    Raises:
        DataError: a row holds no conversation, or rows are of several kinds; names the row.
    """
    if not rows:
        raise DataError("there must be at least one row; there are no conversations")
    names = list(dict.fromkeys(name for record in rows for name in record))
    columns = spoken.roles_of(names, {}, "conversations, row 0")
    encoded = []
    for row, record in enumerate(rows):
        try:
            encoded.append(spoken.row(record, columns))
        except DataError as error:
            raise error.at(f"conversations, row {row}") from None
    parts = _divided(_lying(encoded, [""] * len(encoded)), splits, validation, test, duplicates)
    return _reported(_written(parts, encoded, columns, None))


def _lying(encoded: list[bytes], words: Sequence[Label]) -> Part:
    """Rows of bytes at their numbers."""
    length = np.array([len(text) for text in encoded], dtype=np.int64)
    return part([content_of(text) for text in encoded], words, files=(), file=0,
                position=np.arange(len(encoded)), length=length)  # fmt: skip


def _written(
    parts: Mapping[str, Part], encoded: list[bytes], columns: Mapping[str, str], names: list[str] | None
) -> Dataset:
    """A Dataset of rows of bytes in blobs."""
    contents = {name: b"".join(encoded[row] for row in rows.position) for name, rows in parts.items()}
    placed = {
        name: replace(rows, position=np.cumsum(rows.length) - rows.length) for name, rows in parts.items()
    }
    return manifest.dataset(
        placed, reader="arrays", options={"form": "encoded"}, columns=columns, shape=None,
        names=names, contents=contents,
    )  # fmt: skip


def _utf8(text: Any, where: str) -> bytes:
    if not isinstance(text, str):
        raise DataError(f"a text must be a str, not {type(text).__name__}", where=where)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DataError("a text must not have half a character", where=where) from None


def _divided(
    rows: Part, splits: Sequence[str] | None, validation: float, test: float, duplicates: str
) -> dict[str, Part]:
    if splits is None:
        parts = policy.carve({"train": rows}, validation=validation, test=test)
    else:
        parts = policy.told(rows, splits)
    if duplicates == "refuse":
        policy.refuse(parts)
    return policy.separate(parts).parts


def _reported(data: Dataset) -> Dataset:
    """The data, after the run under way was told of near duplicates across splits."""
    near.report(data, lambda text: session.current().events.emit("note", step="arrays", text=text))
    return data


def held(
    parts: dict[str, Part], pixels_NCHW: np.ndarray, *, columns: dict[str, str], names: list[str] | None
) -> Dataset:
    """A Dataset of pixels in blobs: the rows of each part in its own order."""
    contents = {
        name: np.ascontiguousarray(pixels_NCHW[rows.position]).tobytes() for name, rows in parts.items()
    }
    placed = {name: _renumbered(rows) for name, rows in parts.items()}
    return manifest.dataset(
        placed, reader="arrays", options={"form": "pixels"}, columns=columns, shape=pixels_NCHW.shape[1:],
        names=names, contents=contents,
    )  # fmt: skip


def _renumbered(rows: Part) -> Part:
    return replace(rows, files=(), file=np.zeros_like(rows.file), position=np.arange(rows.num_rows))
