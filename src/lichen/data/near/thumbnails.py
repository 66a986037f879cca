"""thumbnails: pictures small and grey, the waves in them, and the ways in which a copy may be moved.

Paper: Zauner 2010 (pHash).
Shapes: N rows, C channels, H height, W width, S side of a thumbnail, P pixels of a coarse one, F waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

SIDE, MARGIN = 32, 4
"""Pixels of a thumbnail, and those around its middle that only a moved one shows."""
COARSE, ORDER = 2, 8
"""Pixels averaged before waves are laid over them; waves along each side."""
NUM_WAVES = ORDER * ORDER - 1
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Move:
    """How a row is laid over another: mirrored or not, enlarged about its middle, shifted by pixels."""

    is_flipped: bool
    zoom: float
    down: int
    right: int

    @property
    def start(self) -> tuple[int, int]:
        """Where the coarse pixels begin: a shift is then a whole number of them, unless enlarged."""
        return (self.down % COARSE, self.right % COARSE) if self.zoom == 1.0 else (0, 0)


MOVES = tuple(
    Move(is_flipped, zoom, down, right)
    for is_flipped, zoom, reach in (
        (False, 1.0, 2), (True, 1.0, 2), (False, SIDE / (SIDE - 2), 1), (False, (SIDE - 2) / SIDE, 1)
    )
    for down, right in product(range(-reach, reach + 1), repeat=2)
)  # fmt: skip


def thumbnails(pixels_NCHW: np.ndarray) -> np.ndarray:
    """uint8 (N, S, S): the mean of the channels, resized by triangles as wide as a thumbnail's pixel."""
    num_rows, _, height, width = pixels_NCHW.shape
    small_NSS = np.empty((num_rows, SIDE, SIDE), np.uint8)
    rows_SH, columns_SW = _resizer(height), _resizer(width)
    for start in range(0, num_rows, CHUNK):
        some = pixels_NCHW[start : start + CHUNK]
        grey = some.sum(1, dtype=np.uint16).astype(np.float32) * np.float32(1 / some.shape[1])
        if (height, width) != (SIDE, SIDE):
            grey = rows_SH @ grey @ columns_SW.T
        small_NSS[start : start + CHUNK] = np.rint(grey)
    return small_NSS


@lru_cache(maxsize=8)
def _resizer(size: int) -> np.ndarray:
    """float32 (S, size): the weights of a side's pixels in those of a thumbnail's."""
    middle = (np.arange(SIDE) + 0.5) * (size / SIDE)
    apart = np.abs(np.arange(size) + 0.5 - middle[:, None]) / max(1.0, size / SIDE)
    weights = np.clip(1 - apart, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def coarsened(thumbnails_NSS: np.ndarray) -> np.ndarray:
    """float32 (N, P): thumbnails of fewer pixels, in rows."""
    starts = product(range(COARSE), repeat=2)
    first, *others = (thumbnails_NSS[:, down::COARSE, right::COARSE] for down, right in starts)
    total = first.astype(np.float32)
    for pixels in others:
        total += pixels
    return total.reshape(len(total), -1) / COARSE**2


def signs(coarse_NP: np.ndarray, move: Move) -> np.ndarray:
    """bool (N, F): whether each wave runs with the moved picture or against it; mirrored it is already."""
    return coarse_NP @ _waves(move) > 0


@lru_cache(maxsize=len(MOVES))
def _waves(move: Move) -> np.ndarray:
    """float32 (P, F): DCT-II waves over the middle of a picture that was moved, all but the constant."""
    side, margin = SIDE // COARSE, MARGIN // COARSE
    inside = (np.arange(side - 2 * margin) + 0.5) / (side - 2 * margin)
    waves = np.pad(np.cos(np.pi * np.arange(ORDER)[:, None] * inside), ((0, 0), (margin, margin)))
    shifts = ((move.down - move.start[0]) / COARSE, (move.right - move.start[1]) / COARSE)
    down, right = (waves @ mover(side, move.zoom, shift) for shift in shifts)
    both = np.einsum("ay,bx->yxab", down, right).reshape(side * side, -1)[:, 1:]
    return np.ascontiguousarray(both, dtype=np.float32)


def mover(side: int, zoom: float, shift: float) -> np.ndarray:
    """float32 (side, side): linear interpolation at the places that an enlarged, shifted side shows."""
    middle = (side - 1) / 2
    places = np.clip((np.arange(side) - middle) / zoom + middle + shift, 0, side - 1)
    return np.clip(1 - np.abs(places[:, None] - np.arange(side)), 0, None).astype(np.float32)
