"""manifest: parts become a Dataset, and a Dataset's split says where its rows lie.

The index blob is one line of JSON (file names, number of rows), then int64 columns file, position, length,
target.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core import guard
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, LeakError, UnsafeInputError, nearest
from lichen.core.value import Chain, Memory
from lichen.data import conversations
from lichen.data.labels import are_several, as_text, words
from lichen.data.scan import DIGEST_BYTES, Located, Part, class_names, ids_of

Index = tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""File names, then int64 (N,) each: file, position, length, target; the target as `targets_of` gives it."""
KINDS = ("image", "text", "bitext", "tabular", *conversations.KINDS, "observation")
"""What a row may be; the schema says what it must be known by under that name."""
BITS = 64
"""Labels in one column of the index, where rows may have several."""


def dataset(
    parts: Mapping[str, Part],
    *,
    reader: str,
    options: Mapping[str, Any],
    columns: Mapping[str, str],
    shape: tuple[int, int, int] | None,
    names: Sequence[str] | None = None,
    root: Path | None = None,
    contents: Mapping[str, bytes | memoryview] | None = None,
    observation: Mapping[str, Any] | None = None,
) -> Dataset:
    """A Dataset of these parts.

    Args:
        shape: (channels, height, width) of pictures, height and width 0 when they differ in size; None: the
            rows are texts, pairs of them where `columns` have a target, or observations.
        names: classes in order; None: as found in the rows.
        contents: per split the bytes that hold its rows; None when they lie under `root`.
        observation: `{"shape", "low", "high"}` of rows of what an agent saw; see `observations`.

    Raises:
        DataError: a label is none of `names`, or one of these is named twice.
    """
    memory = Memory()
    labels = [] if "label" not in columns else list(names) if names is not None else class_names(parts)
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(
            f"a class must be named once; `{twice}` is named again",
            where=None if root is None else str(root),
            hint="rows of both would be of one class: rename one",
        )  # fmt: skip
    is_multi = any(are_several(rows.labels) for rows in parts.values())
    splits = {
        name: entry(rows, targets_of(rows, labels), memory, contents[name] if contents is not None else None)
        for name, rows in parts.items()
    }
    row = _row_schema(shape, columns) if observation is None else {"observation": dict(observation)}
    schema = {"columns": dict(columns), "labels": labels, **row}
    if is_multi:
        schema["are_labels_several"] = True
    manifest = {
        "kind": "dataset", "reader": {"name": reader, "options": dict(options)}, "schema": schema,
        "splits": splits, "policy": [],
    }  # fmt: skip
    return Dataset(manifest=manifest, blobs=memory, root=None if root is None else str(root))


def entry(
    rows: Part, targets: np.ndarray, memory: Memory, content: bytes | memoryview | None
) -> dict[str, Any]:
    """What a manifest says of a split.

    Args:
        memory: takes the blobs.
        content: the bytes that hold the rows; None when they lie in files.
    """
    held = {} if content is None else {"content": {"blob": memory.put(content)}}
    return {
        "num_rows": rows.num_rows,
        "digest": hashlib.sha256(rows.digests.tobytes()).hexdigest(),
        "rows": {"blob": memory.put(rows.digests.tobytes())},
        "index": {"blob": memory.put(_pack(rows, targets))},
        **held,
    }


def only(
    data: Dataset,
    split: str,
    rows: np.ndarray,
    *,
    removed: Callable[[Memory], Mapping[str, Any] | None] = lambda memory: None,
) -> Dataset:
    """The data with some rows of a split, which lie where they lay.

    Args:
        removed: puts what is told of the others into a memory, and gives the entry that names it.
    """
    places, targets = located(data, split)
    kept = Part(
        digests=digests(data, split)[rows], labels=[""] * len(rows), files=places.files,
        file=places.file[rows], position=places.position[rows], length=places.length[rows],
    )  # fmt: skip
    memory, was = Memory(), data.splits[split]
    held = {name: was[name] for name in ("content", "reader", "removed") if name in was}
    told = {**entry(kept, targets[rows], memory, None), **held}
    if (said := removed(memory)) is not None:
        told["removed"] = said
    whole = {**data.manifest, "splits": {**data.splits, split: told}}
    return replace(data, manifest=whole, blobs=Chain((memory, data.blobs)), made=None)


def _row_schema(shape: tuple[int, int, int] | None, columns: Mapping[str, str]) -> dict[str, Any]:
    """What a row is, under the name of its kind."""
    if shape is None:
        if "features" in columns:
            return {"tabular": {"columns": json.loads(columns["features"])}}
        kind = conversations.kind_of(columns) or ("bitext" if "target" in columns else "text")
        return {kind: {"encoding": "utf-8"}}
    channels, height, width = shape
    return {"image": {"channels": channels, "height": height or None, "width": width or None}}


def targets_of(rows: Part, labels: Sequence[str]) -> np.ndarray:
    """int64 (N,): the class number of each row, -1 where rows have no labels.

    uint8 (N, K) of 0 and 1 where rows may have several.
    """
    if not labels and not are_several(rows.labels):
        return np.full(rows.num_rows, -1, np.int64)
    number = {label: place for place, label in enumerate(labels)}
    for row, label in enumerate(rows.labels):
        for word in words(label):
            if word not in number:
                raise DataError(
                    f"label `{word}` is none of the classes", where=rows.describe(row),
                    hint=nearest(word, labels),
                )  # fmt: skip
    if not are_several(rows.labels):
        return np.array([number[as_text(label)] for label in rows.labels], dtype=np.int64)
    targets_NK = np.zeros((rows.num_rows, len(labels)), np.uint8)
    for row, label in enumerate(rows.labels):
        targets_NK[row, [number[word] for word in words(label)]] = 1
    return targets_NK


def located(data: Dataset, split: str) -> tuple[Located, np.ndarray]:
    """Where the rows of a split lie, and their targets int64 (N,).

    Raises:
        LeakError: the split may not be opened here, or shares rows with test where one of them is closed.
    """
    entry = data.require(split)
    image, is_known = data.schema.get("image"), any(data.schema.get(kind) for kind in KINDS)
    if not entry.get("index") or not is_known or not data.reader(split):
        raise DataError(f"split `{split}` must say where its rows lie; it does not", where=data.root)
    _check_apart(data, split)
    num_labels = len(data.labels) if data.schema.get("are_labels_several") else None
    index = _unpack(data.blobs.get(entry["index"]["blob"]), num_labels)
    files, file, position, length, targets = _checked(index, split)
    content = data.blobs.get(entry["content"]["blob"]) if entry.get("content") else None
    places = Located(
        root=Path(data.root) if data.root is not None and content is None else None, files=files, file=file,
        position=position, length=length, options=data.reader(split)["options"], content=content,
        shape=(image["channels"], image["height"] or 0, image["width"] or 0) if image else _row_bytes(data),
    )  # fmt: skip
    return places, targets


def _row_bytes(data: Dataset) -> tuple[int] | None:
    """Bytes of a row of observations; None: the rows are texts."""
    about = data.schema.get("observation")
    return (4 * (prod(about["shape"]) + len(about["low"])),) if about else None


def digests(data: Dataset, split: str) -> np.ndarray:
    """uint8 (N, 16): the digests of a split's rows."""
    packed = data.blobs.get(data.require(split)["rows"]["blob"])
    if len(packed) % DIGEST_BYTES:
        raise DataError(f"the digests of split `{split}` are damaged", where=data.root)
    return np.frombuffer(packed, np.uint8).reshape(-1, DIGEST_BYTES)


def num_common(data: Dataset, split: str, other: Dataset, other_split: str) -> int:
    """Rows of a split whose content also stands in a split of this or other data, closed ones included."""
    return int(np.isin(ids(data, split), ids(other, other_split)).sum())


def ids(data: Dataset, split: str) -> np.ndarray:
    """uint64 (N,): what tells equal rows, of any split: of a closed one no more than that is read."""
    packed = guard.reopened(data.blobs).get(data.splits[split]["rows"]["blob"])
    return ids_of(np.frombuffer(packed, np.uint8).reshape(-1, DIGEST_BYTES))


def _check_apart(data: Dataset, split: str) -> None:
    """Refuses a split that shares rows with test, in a view that may not open both."""
    closed = [name for name in data.splits if name not in data.allowed and "test" in (name, split)]
    if not closed or guard.keeps_duplicates(data):
        return
    for other in closed:
        if num_rows := num_common(data, split, data, other):
            raise LeakError(
                f"{num_rows} rows of {split} also stand in {other}, so {split} may not be opened here",
                hint="take them out of one of the splits, as load(duplicates='drop') does",
            )


def _pack(rows: Part, targets: np.ndarray) -> bytes:
    head = json.dumps({"files": rows.files, "num_rows": rows.num_rows}, separators=(",", ":")).encode()
    marks = [targets] if targets.ndim == 1 else _words(targets)
    columns = np.stack([rows.file, rows.position, rows.length, *marks]).astype("<i8")
    return head + b"\n" + columns.tobytes()


def _words(targets_NK: np.ndarray) -> np.ndarray:
    """int64 (W, N): BITS labels to a number, the first in the lowest bit."""
    padded = np.pad(targets_NK, ((0, 0), (0, -targets_NK.shape[1] % BITS)))
    return np.packbits(padded, axis=1, bitorder="little").view("<i8").T


def _marks(words_WN: np.ndarray, num_labels: int) -> np.ndarray:
    """uint8 (N, K): the inverse of `_words`."""
    bytes_NB = np.ascontiguousarray(words_WN.T).view(np.uint8)
    return np.unpackbits(bytes_NB, axis=1, count=num_labels, bitorder="little")


def _unpack(blob: memoryview, num_labels: int | None) -> Index:
    try:
        end = bytes(blob).index(b"\n")
        head = json.loads(bytes(blob[:end]))
        num_words = 1 if num_labels is None else -(-num_labels // BITS)
        columns = np.frombuffer(bytes(blob[end + 1 :]), "<i8").reshape(3 + num_words, head["num_rows"])
        targets = columns[3] if num_labels is None else _marks(columns[3:], num_labels)
        return tuple(head["files"]), columns[0], columns[1], columns[2], targets
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DataError(f"the index of the rows is damaged: {error}") from None


def _checked(index: Index, split: str) -> Index:
    """An index whose files lie below the root and whose numbers are places.

    Raises:
        UnsafeInputError: a file is named outside; a dataset may come from anywhere.
        DataError: a number is no place.
    """
    files, file, position, length, _ = index
    for name in files:
        if not isinstance(name, str) or "\0" in name or name.startswith("/") or ".." in name.split("/"):
            raise UnsafeInputError(
                f"a file of the data must lie in its folder, not at {ascii(name)[:120]}",
                where=f"split {split}",
            )
    if len(file) and not (file.min() >= 0 and file.max() < max(1, len(files)) and length.min() >= 0):
        raise DataError("the index of the rows is damaged: a row lies in no file", where=f"split {split}")
    if len(file) and position.min() < -1:
        raise DataError("the index of the rows is damaged: a row lies nowhere", where=f"split {split}")
    return index
