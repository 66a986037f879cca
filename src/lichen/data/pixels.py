"""pixels: pictures that the caller holds as arrays, in any of the usual forms, become uint8 (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lichen.core.errors import DataError


def of_arrays(images: Any) -> np.ndarray:
    """uint8 (N, C, H, W), contiguous, of numpy or torch, grey or in colours."""
    pixels = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim != 4:
        raise DataError(
            f"images must have the shape (N, H, W), (N, C, H, W) or (N, H, W, C), not {tuple(pixels.shape)}"
        )
    if pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.dtype != np.uint8:
        pixels = _scaled(pixels)
    return np.ascontiguousarray(pixels)


def _scaled(pixels: np.ndarray) -> np.ndarray:
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(
            f"pixels must be uint8 or floats in [0, 1], not {pixels.dtype}", hint="images.astype('uint8')"
        )
    flat = pixels.reshape(len(pixels), -1)
    if np.isnan(flat).any():
        row = int(np.isnan(flat).any(axis=1).argmax())
        raise DataError("pixels must be numbers; this row has NaN", where=f"images, row {row}")
    outside = ((flat < 0) | (flat > 1)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise DataError(
            f"float pixels must lie in [0, 1]; this row has {flat[row].min():g} to {flat[row].max():g}",
            where=f"images, row {row}", hint="divide by 255, or give uint8",
        )  # fmt: skip
    return np.rint(pixels * 255).astype(np.uint8)
