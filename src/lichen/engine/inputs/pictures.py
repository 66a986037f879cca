"""pictures: what a person hands in becomes pixels of the shape that a net takes.

Shapes: N rows, B rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lichen.core.errors import DataError, LichenError, NotFoundError, UsageError
from lichen.data import pictures, pixels
from lichen.data.files import read_bytes, reading


def typed(text: str, piped: bytes | None) -> list[Any]:
    """The inputs that a word of the command line means: a file, a folder, or what was piped in."""
    return listed(text) if piped is None else [piped]


def listed(inputs: Any, channels: int | None = None) -> list[Any]:
    """The inputs one by one; of a folder its pictures, by their suffixes.

    Args:
        channels: of what takes them; where it is 1, an array (3, H, W) is three grey pictures.

    Raises:
        DataError: a folder holds none.
    """
    if isinstance(inputs, str | Path):
        path = Path(inputs)
        if not path.is_dir():
            return [path]
        with reading(path):
            found = [
                file for file in sorted(path.rglob("*")) if pictures.is_picture(file.name) and file.is_file()
            ]
        if not found:
            raise DataError("a folder of inputs must hold pictures; this one has none", where=str(path),
                            hint=f"read are {' '.join(pictures.SUFFIXES)}")  # fmt: skip
        return found
    if isinstance(inputs, np.ndarray | torch.Tensor):
        first = {1} if channels == 1 else {1, 3}
        is_one = inputs.ndim == 3 and (inputs.shape[0] in first or inputs.shape[2] in (1, 3))
        is_stack = inputs.ndim == 4 or (inputs.ndim == 3 and not is_one)
        return list(inputs) if is_stack else [inputs]
    return list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, bytes) else [inputs]


def decoded(item: Any, where: str, assets: Mapping[str, Any]) -> np.ndarray:
    """uint8 (C, H, W) of one input.

    Raises:
        DataError: it is no picture; names it.
        NotFoundError: no such file.
        UsageError: the assets do not say the shape.
    """
    return of_shape(item, where, shape(assets))


def shape(assets: Mapping[str, Any]) -> list[int]:
    """(C, H, W) that a value takes.

    Raises:
        UsageError: it does not say.
    """
    if "tokenizer" in assets:
        raise UsageError("this takes models of pictures; this one reads texts")
    if "num_codes" in assets:
        raise UsageError("this takes models that answer about what is there; this one makes it",
                         hint="compress.distil, .quantize and deploy.export take generators")  # fmt: skip
    found = assets.get("image_shape")
    if found is None or len(found) != 3:
        raise UsageError(
            f"the value must say the shape of its pictures, (channels, height, width), not {found}"
        )
    return found


def of_shape(item: Any, where: str, image_shape: Sequence[int]) -> np.ndarray:
    """uint8 (C, H, W) of one input, resized where it has to be."""
    channels, height, width = image_shape
    size = height if height == width else None
    if isinstance(item, str | Path):
        where = str(item)
        if not Path(item).exists():
            raise NotFoundError(f"there is no file `{item}`")
        item = read_bytes(Path(item))
    if isinstance(item, bytes) or not hasattr(item, "shape"):
        try:
            pixels_CHW = _read(item, channels, size)
        except LichenError as error:
            raise error.at(where) from None
    else:
        pixels_CHW = _with_channels(pixels.of_arrays(item[None])[0], channels)
        if size is not None and pixels_CHW.shape[1:] != (height, width):
            pixels_CHW = pictures.resize(pixels_CHW, size)
    if pixels_CHW.shape != tuple(image_shape):
        raise DataError(
            f"a picture must have the shape {tuple(image_shape)}, not {pixels_CHW.shape}", where=where
        )
    return pixels_CHW


def _read(item: Any, channels: int, size: int | None) -> np.ndarray:
    """uint8 (C, H, W) of a file's bytes or a PIL image, which stays as it is."""
    if isinstance(item, bytes):
        return pictures.decode(item, channels, size)
    return pictures.of_image(item.copy() if "exif" in item.info else item, channels, size)


def _with_channels(pixels_CHW: np.ndarray, channels: int) -> np.ndarray:
    """Grey as colour, or colour as grey by the luma weights that Pillow uses."""
    if len(pixels_CHW) == channels:
        return pixels_CHW
    if len(pixels_CHW) == 1:
        return np.repeat(pixels_CHW, channels, 0)
    weights_C = np.array([19595, 38470, 7471], np.uint32)[:, None, None]
    return ((pixels_CHW.astype(np.uint32) * weights_C).sum(0) + 0x8000 >> 16).astype(np.uint8)[None]
