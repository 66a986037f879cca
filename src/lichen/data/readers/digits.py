"""digits: the 1 797 handwritten 8x8 digits inside scikit-learn, grey values 0..16 scaled to 0..255."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data.columns import ROLES, refuse
from lichen.data.files import reading
from lichen.data.scan import Located, Scan, content_of, part

SHAPE = (1, 8, 8)


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    return path.name == "digits.csv.gz"


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    refuse(options, ROLES, "the digits", path)
    pixels_NCHW, labels = _read(path)
    contents = [content_of(row) for row in pixels_NCHW]
    texts = [str(label) for label in labels]
    rows = part(contents, texts, files=[path.name], file=0, position=np.arange(len(texts)))
    return Scan(parts={"train": rows}, columns={"image": "pixels", "label": "digit"}, shape=SHAPE)


def fetch(located: Located, rows: np.ndarray) -> np.ndarray:
    pixels_NCHW, _ = _read(located.path(0))
    return pixels_NCHW[located.position[rows]]


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with reading(path), gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    if table.ndim != 2 or table.shape[1] != 65:
        raise DataError("the digits must have 64 pixels and a label per row", where=str(path))
    pixels = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8)
    return pixels.reshape(-1, *SHAPE), table[:, 64].astype(np.int64)
