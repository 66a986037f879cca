"""answer: the one path from raw input to reply: decode it, run, say it in the task's words.

`evaluate`, `serve`, `predict` and the check of exports all go through here, so they cannot disagree.

Shapes: N rows, B rows of a batch, C channels, H height, W width, T numbers of a text, K outputs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from lichen.core import present
from lichen.core.errors import DataError, LichenError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.protocols import Decoded, SelfSupervised
from lichen.data import tokenizer
from lichen.engine.inputs import feeds, pictures, texts
from lichen.engine.modules import backend
from lichen.engine.programs import runtimes
from lichen.engine.task import task_of
from lichen.engine.training import memory, supervised
from lichen.engine.translate import Translator, warned

KEPT = 4
"""Loaded values kept per process."""
BATCH_SIZE = 256

Runner = Callable[[np.ndarray], np.ndarray]
Reply = dict[str, Any] | LichenError
Key = tuple[str, str, int | str | None]
_runners: OrderedDict[Key, tuple[Callable[[np.ndarray], Any], present.Present]] = OrderedDict()
"""What answers, by value, device and threads, with the user's code that it was built from."""
_lock = threading.Lock()


def predict(value: Model | Program, inputs: Any, *, batch_size: int = BATCH_SIZE) -> list[dict[str, Any]]:
    """The task's reply per input.

    Args:
        inputs: of pictures a path, bytes, array or PIL image, a list of these, or a folder; of texts a str, a
            Path of a file, or a list of these.

    Raises:
        DataError: there is nothing to answer about, or it cannot be read; names it.
    """
    feed, places = feeds.of(value.assets), enumerate(feeds.of(value.assets).listed(inputs))
    rows = [feed.decoded(item, f"input {place}", value.assets) for place, item in places]
    if not rows:
        raise DataError("there must be at least one input to answer about")
    _warned(value, rows)
    return _replies(value, np.stack(rows), batch_size)


def _warned(value: Model | Program, rows: Sequence[np.ndarray]) -> bool:
    """Whether texts that are to be translated are longer than what the net reads, and were said to be."""
    if not rows or not feeds.are_paired(value.assets):
        return False
    return warned(np.stack(rows), tokenizer.of(value.assets["tokenizer"]), value.assets["max_tokens"])


def _replies(
    value: Model | Program, images_NCHW: np.ndarray, batch_size: int = BATCH_SIZE
) -> list[dict[str, Any]]:
    task = task_of(value.task)
    if isinstance(task, Decoded):
        return task.reply(said(value, images_NCHW), value.assets)
    return task.reply(logits(value, images_NCHW, batch_size), value.assets)


def each(value: Model | Program, inputs: Any, *, batch_size: int = BATCH_SIZE) -> Iterator[tuple[Any, Reply]]:
    """Every input with its reply, or with the error that names it: one bad input spoils no other."""
    items, is_warned = feeds.of(value.assets).listed(inputs), False
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        decoded = [_tried(item, f"input {start + place}", value) for place, item in enumerate(batch)]
        rows = [found for found in decoded if isinstance(found, np.ndarray)]
        is_warned = is_warned or _warned(value, rows)
        replies = iter(_replies(value, np.stack(rows)) if rows else ())
        for item, found in zip(batch, decoded, strict=True):
            yield item, found if isinstance(found, LichenError) else next(replies)


def _tried(item: Any, where: str, value: Model | Program) -> np.ndarray | LichenError:
    try:
        return feeds.of(value.assets).decoded(item, where, value.assets)
    except LichenError as error:
        return error


def said(value: Model | Program, rows_NL: np.ndarray, *, device: str = "cpu") -> list[str]:
    """What a net tells of the source of each row, by a beam of the usual width.

    Raises:
        UsageError: the value is a Program, which tells no texts.
    """
    if not isinstance(value, Model):
        raise UsageError("a Program tells no texts; ask the Model it was made from")
    with memory.kept():
        tell = _loaded(value, (value.digest, device, "texts"), lambda: Translator.of(value, device).of_rows)
        return tell(rows_NL)


def asked(value: Model | Program, *, threads: int | None = None) -> Callable[[np.ndarray], Any]:
    """What answers rows as a person would be answered: by outputs, or by texts that are told."""
    if isinstance(task_of(value.task), Decoded):
        return lambda rows_NL: said(value, rows_NL)
    return runner(value, threads=threads)


def logits(
    value: Model | Program, images_u8: np.ndarray, batch_size: int = BATCH_SIZE, *, device: str = "cpu"
) -> np.ndarray:
    """float32 (N, K) of uint8 pixels (N, C, H, W), or of a text's numbers int32 (N, T).

    Of a self-supervised task what it keeps of a net's outputs, (N, T).
    """
    if len(images_u8) == 0:
        raise DataError("there must be at least one row to answer about")
    batch_size = supervised.at_once(batch_size, value.assets)
    order = feeds.order_of(images_u8, value.assets)
    rows = images_u8 if order is None else images_u8[order]
    run, starts = runner(value, device=device), range(0, len(rows), batch_size)
    with memory.kept() if len(starts) > 1 else nullcontext():
        found = np.concatenate([run(rows[start : start + batch_size]) for start in starts])
    found = found.reshape(len(found), -1)  # a generator answers in pictures
    return found if order is None else found[np.argsort(order)]


def runner(value: Model | Program, *, threads: int | None = None, device: str = "cpu") -> Runner:
    """uint8 (B, C, H, W) or int32 (B, T) -> float32 (B, K), loaded once per process and per code of its net.

    Args:
        threads: of a Program's runtime; None: its own choice. A Model uses torch's.
    """
    return _loaded(
        value,
        (value.digest, device, threads),
        lambda: _of_program(value, threads) if isinstance(value, Program) else _of_model(value, device),
    )


def _loaded(value: Model | Program, key: Key, make: Callable[[], Any]) -> Any:
    with _lock:
        found = _runners.get(key)
        if found is not None and found[1].still_holds():
            _runners.move_to_end(key)
            return found[0]
    built_from = present.behind(value)  # before it is built: what changes meanwhile is seen next time
    made = make()
    with _lock:
        _runners[key] = made, built_from
        _runners.move_to_end(key)
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
            raise UsageError(f"the model cannot answer as it says: {said}") from error

    return run


def _of_program(program: Program, threads: int | None) -> Runner:
    run = runtimes.load(program.runtime, program.files(), threads=threads, precision=program.precision)
    task, assets = task_of(program.task), dict(program.assets)
    if "tokenizer" in assets and not feeds.are_packed(assets):
        return lambda rows_BT: run(texts.trimmed(rows_BT))
    if not isinstance(task, SelfSupervised):
        return run
    return lambda rows_BT: task.kept(
        torch.from_numpy(run(rows_BT)), torch.from_numpy(rows_BT), assets).numpy()  # fmt: skip


def decode(inputs: Any, image_shape: Sequence[int]) -> np.ndarray:
    """uint8 (N, C, H, W) of pictures in any form that `predict` takes.

    Raises:
        DataError: an input is no picture; names it.
        NotFoundError: no such file.
    """
    items = pictures.listed(inputs, channels=image_shape[0])
    if not items:
        raise DataError("there must be at least one picture to answer about")
    return np.stack([pictures.of_shape(item, f"input {at}", image_shape) for at, item in enumerate(items)])
