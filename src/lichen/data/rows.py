"""rows: the rows of a split, decoded: pixels, targets and ids.

What fits in memory is decoded once per process and stays; larger splits, and pictures of several sizes, are
decoded as they are asked for. Every row is checked against its digest when it is read.

Shapes: N rows of the split, B rows asked for, C channels, H height, W width, S side.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core import find
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, nearest
from lichen.data import manifest, pictures
from lichen.data.scan import Located, content_of, ids_of

RESIDENT_BYTES = 2_000_000_000
"""Decoded pixels kept in one process, all splits together."""


class Kept:
    """Decoded splits by key, the least recently used dropped first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.entries: OrderedDict[Any, np.ndarray] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: Any) -> np.ndarray | None:
        with self.lock:
            if key in self.entries:
                self.entries.move_to_end(key)
            return self.entries.get(key)

    def put(self, key: Any, pixels: np.ndarray) -> None:
        with self.lock:
            self.entries[key] = pixels
            while (
                len(self.entries) > 1
                and sum(kept.nbytes for kept in self.entries.values()) > self.limit_bytes
            ):
                self.entries.popitem(last=False)


KEPT = Kept(RESIDENT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Rows:
    """One split of a Dataset.

    Args:
        identity: of the split's rows, under which decoded pixels are kept.
        targets: int64 (N,).
        ids: uint64 (N,); equal pictures have equal ids.
        shape: (C, H, W); H and W are 0 when pictures differ in size.
    """

    split: str
    identity: str
    reader: Any
    located: Located
    digests: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    shape: tuple[int, int, int]

    @property
    def num_rows(self) -> int:
        return len(self.targets)

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        return f"Rows({self.split}: {self.num_rows} of {self.shape})"

    @property
    def is_uniform(self) -> bool:
        """Whether every picture has the same height and width."""
        return self.shape[1] > 0

    def fits(self, size: int | None = None) -> bool:
        """Whether the whole split, decoded at this size, may stay in memory."""
        channels, height, width = self.shape if size is None else (self.shape[0], size, size)
        return (
            self.is_uniform or size is not None
        ) and self.num_rows * channels * height * width <= RESIDENT_BYTES

    @property
    def images(self) -> np.ndarray:
        """uint8 (N, C, H, W), read-only, decoded once per process.

        Raises:
            DataError: pictures differ in size.
        """
        if not self.is_uniform:
            raise DataError(f"the pictures of {self.split} differ in size", hint="ask for rows.at_size(224)")
        return _frozen(self.pixels())

    def at_size(self, size: int) -> np.ndarray:
        """uint8 (N, C, S, S), read-only, decoded and resized once per process."""
        return _frozen(self.pixels(size))

    def images_at(self, indices: Any, size: int) -> np.ndarray:
        """uint8 (B, C, S, S) of some rows, resized bilinearly to a square."""
        return self.batch(indices, size)

    def batch(self, indices: Any, size: int | None = None) -> np.ndarray:
        """uint8 (B, C, H, W) of some rows, at their own size or resized to a square.

        Raises:
            DataError: a row is gone, changed or damaged; names it.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        wanted = None if self.shape[1:] == (size, size) else size
        if (kept := KEPT.get((self.identity, self.split, wanted))) is not None:
            return kept[chosen]
        if wanted is None and not self.is_uniform:
            raise DataError(
                f"the pictures of {self.split} differ in size", hint="ask for a size: batch(rows, 224)"
            )
        return self._decode(chosen, wanted)

    def describe(self, row: int) -> str:
        """The file and place of a row, as errors show it."""
        return self.located.describe(row)

    def encoded(self, indices: Any) -> list[bytes] | np.ndarray:
        """Rows as stored: encoded pictures, or uint8 (B, C, H, W); checked against their digests."""
        chosen = np.asarray(indices, dtype=np.int64)
        found = self.reader.fetch(self.located, chosen)
        for row, item in zip(chosen.tolist(), found, strict=True):
            if content_of(item)[:8] != self.digests[row, :8].tobytes():
                raise DataError(
                    "this row has changed since it was loaded", where=self.describe(row),
                    hint="load the data again; keep=True keeps a copy of the rows",
                )  # fmt: skip
        return found

    def pixels(self, size: int | None = None) -> np.ndarray:
        """uint8 (N, C, H, W), decoded once per process and shared by all of it: to be read, never written."""
        size = None if self.shape[1:] == (size, size) else size
        key = (self.identity, self.split, size)
        if (kept := KEPT.get(key)) is not None:
            return kept
        pixels = self._decode(np.arange(self.num_rows), size)
        KEPT.put(key, pixels)
        return pixels

    def _decode(self, chosen: np.ndarray, size: int | None) -> np.ndarray:
        found = self.encoded(chosen)
        if isinstance(found, np.ndarray):
            return found if size is None else np.stack([pictures.resize(pixels, size) for pixels in found])
        channels, *side = self.shape
        pixels = np.empty((len(found), channels, *(side if size is None else (size, size))), dtype=np.uint8)

        def fill(place: int) -> None:
            pixels[place] = pictures.decode(found[place], channels, size)

        pictures.each(fill, len(found), pixels[:1].nbytes, lambda place: self.describe(int(chosen[place])))
        return pixels


def _frozen(pixels: np.ndarray) -> np.ndarray:
    view = pixels.view()
    view.flags.writeable = False
    return view


def read(data: Dataset, split: str) -> Rows:
    """The rows of a split; nothing is decoded yet.

    Raises:
        LeakError: the split may not be opened here.
        DataError: it has no rows.
    """
    places, targets = manifest.located(data, split)
    if len(targets) == 0:
        raise DataError(f"split `{split}` must have rows; it has none", where=data.root)
    digests = manifest.digests(data, split)
    if len(digests) != len(targets):
        raise DataError(f"split `{split}` has {len(digests)} digests for {len(targets)} rows")
    _require_place(data, places, split)
    return Rows(
        split=split, identity=data.with_policy(()).identity((split,)),
        reader=find.load(f"lichen.data.readers.{data.reader['name']}"),
        located=places, digests=digests, targets=targets, ids=ids_of(digests), shape=places.shape,
    )  # fmt: skip


def _require_place(data: Dataset, places: Located, split: str) -> None:
    """Refuses rows that lie nowhere: those of a Dataset from a file, unless it holds them itself.

    Raises:
        DataError: neither a folder nor the Dataset has them, or no reader knows them.
    """
    name, known = data.reader["name"], find.shelf("data/readers")
    if name not in known:
        raise DataError(f"no reader `{name}` is known", hint=nearest(str(name), known))
    if (places.content is None) != (name != "arrays") or (places.content is None and places.root is None):
        raise DataError(
            f"the rows of {split} are not here: the data name them and do not hold them",
            hint="load the data again; keep=True keeps the rows in the data",
        )
