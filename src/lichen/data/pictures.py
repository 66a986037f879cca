"""pictures: encoded images into uint8 pixels, after their headers were found harmless.

Shapes: C channels (1 grey, 3 colour), H height, W width, S side of a square.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from lichen.core.errors import DataError, LichenError, UnsafeInputError, missing_package

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 178_956_970
"""What Pillow, too, takes for a decompression bomb: 512 MB of RGB."""
GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
MAGIC = {
    b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"RIFF": "WEBP", b"GIF8": "GIF", b"BM": "BMP",
    b"II*": "TIFF", b"MM\0*": "TIFF", b"P": "PPM",
}  # fmt: skip
"""Formats read, by their first bytes: Pillow's own search costs as much as decoding a small picture, and
would try formats that run other programs."""
FAULTS = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, struct.error, zlib.error,
          ArithmeticError, AttributeError, RuntimeError, MemoryError)  # fmt: skip
"""What Pillow's formats raise about damaged bytes."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
THREADED_BYTES = 16_384
THREADS = min(16, os.cpu_count() or 1)
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)


def is_picture(name: str) -> bool:
    """Whether a file's name says that it holds a picture; hidden files do not count."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def probe(data: bytes) -> tuple[int, int, int]:
    """(C, H, W) of an encoded image, from its header alone.

    Raises:
        DataError: no image can be read from it.
        UnsafeInputError: it has more than MAX_PIXELS pixels.
    """
    with _opened(data) as image:
        width, height = image.size
        try:
            is_sideways = "exif" in image.info and image.getexif().get(ORIENTATION) in SIDEWAYS
        except FAULTS as error:
            raise DataError(f"the image is damaged: {error}") from None
        if is_sideways:
            width, height = height, width
        return (1 if image.mode in GREY else 3), height, width


def decode(data: bytes, channels: int, size: int | None = None) -> np.ndarray:
    """uint8 (C, H, W), or (C, S, S) at a size, turned as its camera says.

    Raises:
        DataError: the image is damaged.
        UnsafeInputError: it has more than MAX_PIXELS pixels.
    """
    with _opened(data) as image:
        return of_image(image, channels, size)


def of_image(image: Image, channels: int, size: int | None = None) -> np.ndarray:
    """uint8 (C, H, W), or (C, S, S) at a size, of a Pillow image, read as its file is; may turn it in place.

    Raises:
        DataError: the image is damaged, or its pixels have no agreed range.
    """
    try:
        pixels_HWC = np.asarray(_converted(_turned(image), channels, size))
    except FAULTS as error:
        raise DataError(f"the image is damaged: {error}") from None
    return pixels_HWC[None] if channels == 1 else pixels_HWC.transpose(2, 0, 1)


def each(work: Callable[[int], None], num_rows: int, row_bytes: int, describe: Callable[[int], str]) -> None:
    """Does work for every row, in threads where rows are large enough to gain by it.

    Args:
        row_bytes: pixels or file bytes per row; small ones are decoded holding the interpreter's lock, and
            threads made CIFAR-10 a third slower.
        describe: the file and row that an error names.
    """

    def span(rows: range) -> None:
        for row in rows:
            try:
                work(row)
            except LichenError as error:
                raise error.at(describe(row)) from None

    if row_bytes < THREADED_BYTES or THREADS == 1:
        span(range(num_rows))
        return
    width = max(1, min(64, num_rows // THREADS))
    spans = [range(start, min(start + width, num_rows)) for start in range(0, num_rows, width)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(span, spans))


def resize(pixels_CHW: np.ndarray, size: int) -> np.ndarray:
    """uint8 (C, S, S) by bilinear interpolation, each channel alone."""
    image = _pillow()
    side = (size, size)
    return np.stack([
        np.asarray(image.fromarray(np.ascontiguousarray(channel)).resize(side, image.Resampling.BILINEAR))
        for channel in pixels_CHW
    ])  # fmt: skip


def _converted(image: Image, channels: int, size: int | None) -> Image:
    if image.mode.startswith("I;16"):  # Pillow clips 16 bits to 8 instead of scaling them
        image = _pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no agreed range")
    image = image.convert("L" if channels == 1 else "RGB")
    return image if size is None else image.resize((size, size), _pillow().Resampling.BILINEAR)


def _turned(image: Image) -> Image:
    if "exif" in image.info:
        from PIL import ImageOps

        ImageOps.exif_transpose(image, in_place=True)
    return image


def _opened(data: bytes) -> Image:
    module = _pillow()
    try:
        kind = next(kind for magic, kind in MAGIC.items() if data.startswith(magic))
        image = module.open(io.BytesIO(data), formats=(kind,))
    except module.DecompressionBombError as error:
        said = re.search(r"\((\d+) pixels\)", str(error))
        raise UnsafeInputError(
            f"an image may have {MAX_PIXELS} pixels, not {said[1] if said else 'more'}"
        ) from None
    except (*FAULTS, StopIteration):
        raise DataError(
            "the image cannot be read", hint=f"{len(data)} bytes that begin with {data[:8]!r}"
        ) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnsafeInputError(f"an image may have {MAX_PIXELS} pixels, not {width}x{height}")
    return image


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise missing_package("pillow", "vision") from None
    return Image
