"""images: the pictures of a split, decoded.

What fits in memory is decoded once per process and stays; larger splits, and pictures of several sizes, are
decoded as they are asked for.

Shapes: N rows of the split, B rows asked for, C channels, H height, W width, S side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data import pictures, stored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Images(stored.Stored):
    """One split of pictures: `shape` is (C, H, W); H and W are 0 when they differ in size."""

    shape: tuple[int, int, int]

    def __repr__(self) -> str:
        return f"Images({self.split}: {self.num_rows} of {self.shape})"

    @property
    def is_uniform(self) -> bool:
        """Whether every picture has the same height and width."""
        return self.shape[1] > 0

    def fits(self, size: int | None = None) -> bool:
        """Whether the whole split, decoded at this size, may stay in memory."""
        channels, height, width = self.shape if size is None else (self.shape[0], size, size)
        return (
            self.is_uniform or size is not None
        ) and self.num_rows * channels * height * width <= stored.RESIDENT_BYTES

    @property
    def images(self) -> np.ndarray:
        """uint8 (N, C, H, W), read-only, decoded once per process.

        Raises:
            DataError: pictures differ in size.
        """
        if not self.is_uniform:
            raise DataError(f"the pictures of {self.split} differ in size", hint="ask for rows.at_size(224)")
        return _frozen(self.whole())

    def at_size(self, size: int) -> np.ndarray:
        """uint8 (N, C, S, S), read-only, decoded and resized once per process."""
        return _frozen(self.whole(size))

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
        if (kept := stored.KEPT.get((self.identity, self.split, wanted))) is not None:
            return kept[chosen]
        if wanted is None and not self.is_uniform:
            raise DataError(
                f"the pictures of {self.split} differ in size", hint="ask for a size: batch(rows, 224)"
            )
        return self._decode(chosen, wanted)

    def whole(self, size: int | None = None) -> np.ndarray:
        """uint8 (N, C, H, W), decoded once per process and shared by all of it: to be read, never written."""
        size = None if self.shape[1:] == (size, size) else size
        key = (self.identity, self.split, size)
        if (kept := stored.KEPT.get(key)) is not None:
            return kept
        pixels = self._decode(np.arange(self.num_rows), size)
        stored.KEPT.put(key, pixels)
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
