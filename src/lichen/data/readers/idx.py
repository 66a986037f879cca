"""idx: LeCun's IDX files of images and labels, gzipped or not, as MNIST and its relatives come."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError, UnsafeInputError
from lichen.data.columns import ROLES, refuse
from lichen.data.files import reading
from lichen.data.scan import Located, Part, Scan, content_of, part, split_of

IMAGES = re.compile(r"^(\w+)[-.]images[-.]idx3[-.]ubyte(\.gz)?$")
MAX_BYTES = 2**34
"""Declared size above which a header is taken for a bomb: 16 GiB."""
LARGE_BYTES, TIGHT, TIGHTEST = 2**28, 100, 1033
"""From this size on a file that packs so many bytes into one is a bomb: pictures pack 2 to 20; gzip's own
limit is 1032."""


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    return path.is_dir() and any(IMAGES.match(file.name) for file in path.iterdir())


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    refuse(options, ROLES, "a set of IDX files", path)
    parts: dict[str, Part] = {}
    shape = (1, 0, 0)
    for name in sorted(files):
        if match := IMAGES.match(name):
            split = split_of(match[1])
            if split is None:
                raise DataError(
                    f"`{match[1]}` is no split",
                    where=str(path / name),
                    hint="train, validation or test (t10k)",
                )
            pixels_NCHW, labels = _pixels(path / name), _labels(path, name, files)
            if len(labels) != len(pixels_NCHW):
                raise DataError(
                    f"there must be one label per image: {len(pixels_NCHW)} images, {len(labels)} labels",
                    where=str(path / name),
                )
            shape = pixels_NCHW.shape[1:]
            contents = [content_of(row) for row in pixels_NCHW]
            texts = [str(label) for label in labels.tolist()]
            parts[split] = part(contents, texts, files=[name], file=0, position=np.arange(len(texts)))
    return Scan(parts=parts, columns={"image": "images", "label": "labels"}, shape=shape)


def fetch(located: Located, rows: np.ndarray) -> np.ndarray:
    return _pixels(located.path(0))[located.position[rows]]


def _pixels(path: Path) -> np.ndarray:
    """uint8 (N, 1, H, W)."""
    images_NHW = _array(path, num_axes=3)
    return images_NHW[:, None]


def _labels(path: Path, images: str, files: Mapping[str, str]) -> np.ndarray:
    plain = images.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for name in (plain, plain + ".gz"):
        if name in files:
            return _array(path / name, num_axes=1)
    raise DataError(f"there must be a file of labels beside {images}", where=str(path / plain))


def _array(path: Path, num_axes: int) -> np.ndarray:
    with reading(path):
        info = path.stat()
    return _parsed(path, num_axes, info.st_mtime_ns, info.st_size)


def _plausible(count: int, size_bytes: int, path: Path) -> int:
    """The bytes that a header declares, where the file can hold them: they are not asked for before.

    Raises:
        UnsafeInputError: it is a bomb.
        DataError: no file of this size holds so many.
    """
    if count > MAX_BYTES:
        raise UnsafeInputError(f"the header declares {count} bytes", where=str(path))
    if path.suffix == ".gz" and count > LARGE_BYTES and count > TIGHT * size_bytes:
        raise UnsafeInputError(
            f"{size_bytes} bytes unpack to {count}, as the header declares", where=str(path)
        )
    if count > size_bytes * (TIGHTEST if path.suffix == ".gz" else 1):
        raise DataError(f"the header declares {count} bytes, but the file has {size_bytes}", where=str(path))
    return count


@lru_cache(maxsize=4)
def _parsed(path: Path, num_axes: int, mtime_ns: int, size_bytes: int) -> np.ndarray:
    try:
        with reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * num_axes)
            if head[:4] != bytes([0, 0, 8, num_axes]) or len(head) < 4 + 4 * num_axes:
                raise DataError(f"an IDX file of bytes must begin with 0008{num_axes:02x}", where=str(path))
            lengths = struct.unpack(f">{num_axes}I", head[4:])
            count = _plausible(prod(lengths), size_bytes, path)
            data = file.read(count + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"the file is damaged: {error}", where=str(path)) from None
    if len(data) != count:
        raise DataError(f"the header declares {count} bytes, but there are {len(data)}", where=str(path))
    return np.frombuffer(data, np.uint8).reshape(lengths)
