"""arrays: rows held in blobs of the Dataset itself: as pixels, as numbers, or encoded end to end."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data.scan import Located, Scan


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    return False


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    raise AssertionError("rows in blobs are not found by looking at files")


def fetch(located: Located, rows: np.ndarray) -> list[bytes] | np.ndarray:
    assert located.content is not None
    if located.options.get("form") in ("pixels", "numbers"):
        shape = located.shape or (0,)
        size = prod(shape)
        if size == 0 or len(located.content) % size or located.position.max() >= len(located.content) // size:
            raise DataError(f"the rows must be of the shape {shape}; their bytes are not")
        pixels = np.frombuffer(located.content, np.uint8).reshape(-1, *shape)
        return pixels[located.position[rows]]
    return [
        bytes(located.content[start : start + length])
        for start, length in zip(located.position[rows].tolist(), located.length[rows].tolist(), strict=True)
    ]
