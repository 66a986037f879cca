"""answer: the one path from raw input to reply: decode, resize, run, say it in the task's words.

`evaluate`, `serve`, `predict` and the check of exports all go through here, so they cannot disagree.

Shapes: N rows, B rows of a batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lichen.core.errors import DataError, LichenError, NotFoundError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data import arrays, pictures
from lichen.data.files import read_bytes, reading
from lichen.engine import backend, runtimes, supervised
from lichen.engine.task import task_of

KEPT = 4
"""Loaded values kept per process."""
BATCH_SIZE = 256

Runner = Callable[[np.ndarray], np.ndarray]
Reply = dict[str, Any] | LichenError
_runners: OrderedDict[tuple[str, str, int | None], Runner] = OrderedDict()
_lock = threading.Lock()


def predict(value: Model | Program, inputs: Any, *, batch_size: int = BATCH_SIZE) -> list[dict[str, Any]]:
    """The task's reply per input.

    Args:
        inputs: a path, bytes, array or PIL image, a list of these, or a folder of pictures.
    """
    return _replies(value, decode(inputs, _image_shape(value)), batch_size)


def _image_shape(value: Model | Program) -> list[int]:
    """(C, H, W) that a value takes.

    Raises:
        UsageError: it does not say.
    """
    shape = value.assets.get("image_shape")
    if shape is None or len(shape) != 3:
        raise UsageError(
            f"the value must say the shape of its pictures, (channels, height, width), not {shape}"
        )
    return shape


def _replies(
    value: Model | Program, images_NCHW: np.ndarray, batch_size: int = BATCH_SIZE
) -> list[dict[str, Any]]:
    return task_of(value.task).reply(logits(value, images_NCHW, batch_size), value.assets)


def each(value: Model | Program, inputs: Any, *, batch_size: int = BATCH_SIZE) -> Iterator[tuple[Any, Reply]]:
    """Every input with its reply, or with the error that names it: one bad picture spoils no other."""
    items = listed(inputs)
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        decoded = [_tried(item, f"input {start + place}", value) for place, item in enumerate(batch)]
        pixels = [found for found in decoded if isinstance(found, np.ndarray)]
        replies = iter(_replies(value, np.stack(pixels)) if pixels else ())
        for item, found in zip(batch, decoded, strict=True):
            yield item, found if isinstance(found, LichenError) else next(replies)


def _tried(item: Any, where: str, value: Model | Program) -> np.ndarray | LichenError:
    try:
        return _decoded(item, where, _image_shape(value))
    except LichenError as error:
        return error


def logits(
    value: Model | Program, images_u8: np.ndarray, batch_size: int = BATCH_SIZE, *, device: str = "cpu"
) -> np.ndarray:
    """float32 (N, K) of uint8 pixels (N, C, H, W)."""
    if len(images_u8) == 0:
        raise DataError("there must be at least one picture to answer about")
    run = runner(value, device=device)
    return np.concatenate(
        [run(images_u8[start : start + batch_size]) for start in range(0, len(images_u8), batch_size)]
    )


def runner(value: Model | Program, *, threads: int | None = None, device: str = "cpu") -> Runner:
    """uint8 (B, C, H, W) -> float32 (B, K), loaded once per process.

    Args:
        threads: of a Program's runtime; None: its own choice. A Model uses torch's.
    """
    key = (value.digest, device, threads)
    with _lock:
        if key in _runners:
            _runners.move_to_end(key)
            return _runners[key]
    made = _of_program(value, threads) if isinstance(value, Program) else _of_model(value, device)
    with _lock:
        _runners[key] = made
        while len(_runners) > KEPT:
            _runners.popitem(last=False)
    return made


def _of_model(model: Model, device: str) -> Runner:
    module, task, assets = backend.module_of(model).to(device), task_of(model.task), dict(model.assets)

    def run(images_BCHW: np.ndarray) -> np.ndarray:
        try:
            return supervised.outputs_of(
                module, images_BCHW, task, assets, device=device, batch_size=len(images_BCHW)
            )
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            said = str(error).partition("\n")[0][:300]
            raise UsageError(f"the model cannot answer about pictures as it says: {said}") from error

    return run


def _of_program(program: Program, threads: int | None) -> Runner:
    return runtimes.load(program.runtime, program.files(), threads=threads, precision=program.precision)


def decode(inputs: Any, image_shape: Sequence[int]) -> np.ndarray:
    """uint8 (N, C, H, W) of inputs in any form `predict` takes.

    Raises:
        DataError: an input is no picture; names it.
        NotFoundError: no such file.
    """
    items = listed(inputs)
    if not items:
        raise DataError("there must be at least one picture to answer about")
    return np.stack([_decoded(item, f"input {place}", image_shape) for place, item in enumerate(items)])


def listed(inputs: Any) -> list[Any]:
    """The inputs one by one; of a folder its pictures, by their suffixes.

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
        is_stack = inputs.ndim == 4 or (inputs.ndim == 3 and not {inputs.shape[0], inputs.shape[2]} & {1, 3})
        return list(inputs) if is_stack else [inputs]
    return list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, bytes) else [inputs]


def _decoded(item: Any, where: str, image_shape: Sequence[int]) -> np.ndarray:
    channels, height, width = image_shape
    size = height if height == width else None
    if isinstance(item, str | Path):
        where = str(item)
        if not Path(item).exists():
            raise NotFoundError(f"there is no file `{item}`")
        item = read_bytes(Path(item))
    if isinstance(item, bytes):
        try:
            pixels_CHW = pictures.decode(item, channels, size)
        except LichenError as error:
            raise error.at(where) from None
    else:
        pixels_CHW = _with_channels(_as_pixels(item), channels)
        if size is not None and pixels_CHW.shape[1:] != (height, width):
            pixels_CHW = pictures.resize(pixels_CHW, size)
    if pixels_CHW.shape != tuple(image_shape):
        raise DataError(
            f"a picture must have the shape {tuple(image_shape)}, not {pixels_CHW.shape}", where=where
        )
    return pixels_CHW


def _as_pixels(item: Any) -> np.ndarray:
    """uint8 (C, H, W) of one array or PIL image."""
    if not hasattr(item, "shape"):
        item = np.asarray(item.convert("L" if item.mode in pictures.GREY else "RGB"))
    return arrays.to_pixels(item[None])[0]


def _with_channels(pixels_CHW: np.ndarray, channels: int) -> np.ndarray:
    """Grey as colour, or colour as grey by the luma weights that Pillow uses."""
    if len(pixels_CHW) == channels:
        return pixels_CHW
    if len(pixels_CHW) == 1:
        return np.repeat(pixels_CHW, channels, 0)
    weights_C = np.array([19595, 38470, 7471], np.uint32)[:, None, None]
    return ((pixels_CHW.astype(np.uint32) * weights_C).sum(0) + 0x8000 >> 16).astype(np.uint8)[None]
