"""symptoms: which known fault an export has, found by asking the model with each fault planted in it.

Shapes: N rows, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lichen.core.model import Model
from lichen.core.program import Program
from lichen.engine import answer
from lichen.engine.modules import backend
from lichen.engine.programs.graph import Answering
from lichen.engine.task import task_of

ROWS = 32
"""Rows that a suspicion is tried on: one that fits so many by chance does not exist."""
CLOSE = 0.02
"""A suspicion that leaves no more than this share of the difference explains it."""
ROUNDING = 1e-5
"""Share of the largest output that sums in another order differ by."""
MAX_GROUPS = 100
USUAL = {
    "are not normalised": ([0.0], [1.0]),
    "are normalised by the figures of ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "are normalised to -1 to 1": ([0.5], [0.5]),
    "are not divided by 255": ([0.0], [1 / 255]),
}
Asked = Callable[[np.ndarray], np.ndarray]
Suspicion = tuple[str, Asked]
"""What would be wrong, and what the value would then answer."""


def explain(
    value: Model | Program, images_NCHW: np.ndarray, wanted_NK: np.ndarray, found_NK: np.ndarray
) -> str | None:
    """The fault that turns what was wanted of a value into what was found, in words; None: no known one."""
    images_NCHW, wanted_NK, found_NK = images_NCHW[:ROWS], wanted_NK[:ROWS], found_NK[:ROWS]
    order = _order(wanted_NK, found_NK)
    if order is not None:
        return f"the outputs are in another order: {', '.join(map(str, order[:8]))} instead of 0, 1, ..."
    left = max(CLOSE * np.abs(wanted_NK - found_NK).max(), ROUNDING * np.abs(wanted_NK).max())
    for words, asked in _suspicions(value):
        if np.abs(asked(images_NCHW) - found_NK).max() <= left:
            return words
    return None


def _order(wanted_NK: np.ndarray, found_NK: np.ndarray) -> list[int] | None:
    """Whose place each output has taken, where the outputs are the wanted ones in another order."""
    apart_KK = np.abs(found_NK[:, :, None] - wanted_NK[:, None, :]).max(0)
    order = [int(place) for place in apart_KK.argmin(1)]
    is_order = sorted(order) == list(range(len(order))) and order != sorted(order)
    left = ROUNDING * np.abs(wanted_NK).max()
    return order if is_order and np.abs(wanted_NK[:, order] - found_NK).max() <= left else None


def _suspicions(value: Model | Program) -> Iterator[Suspicion]:
    yield (
        "the colours are in the other order (BGR for RGB)",
        _of_changed(value, lambda images: images[:, ::-1]),
    )
    yield "pictures are mirrored", _of_changed(value, lambda images: images[..., ::-1])
    yield "pictures are upside down", _of_changed(value, lambda images: images[:, :, ::-1])
    if isinstance(value, Model):
        yield from _of_normalisation(value)
        yield from _of_batch_norm(value)
        yield from _of_lost_tensors(value)


def _of_changed(value: Model | Program, change: Asked) -> Asked:
    return lambda images_NCHW: answer.logits(value, np.ascontiguousarray(change(images_NCHW)))


def _module(model: Model) -> Answering:
    """The model from bytes to outputs, not by way of what exports it: that is under suspicion."""
    return Answering(backend.module_of(model), task_of(model.task), model.assets).eval()


def _of_normalisation(model: Model) -> Iterator[Suspicion]:
    channels = model.assets["image_shape"][0]
    for words, (mean, std) in USUAL.items():
        figures = {"mean": (mean * 3)[:channels], "std": (std * 3)[:channels]}
        module = _module(model)
        module.assets = {**module.assets, **figures}
        yield f"wrong normalisation: pictures {words}", _asked(module)
    module = _module(model)
    turned = {name: list(model.assets[name])[::-1] for name in ("mean", "std") if name in model.assets}
    module.assets = {**module.assets, **turned}
    yield "wrong normalisation: its figures are in the other order of colours", _asked(module)


def _of_batch_norm(model: Model) -> Iterator[Suspicion]:
    norms = [layer for layer in _module(model).modules() if isinstance(layer, _BatchNorm)]
    if not norms:
        return
    module = _module(model)
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
    yield "stale batch-norm: its figures are those before training", _asked(module)
    yield (
        "batch-norm still learns: rows are normalised by those beside them",
        _asked(_module(model).train()),
    )


def _of_lost_tensors(model: Model) -> Iterator[Suspicion]:
    """The model without the tensors that share a word in their names, as those of an adapter do."""
    names = [name for name, _ in _module(model).net.named_parameters()]
    words = list(dict.fromkeys(word for name in names for word in name.split(".") if not word.isdigit()))
    for word in words[:MAX_GROUPS]:
        module = _module(model)
        lost = [name for name in names if word in name.split(".")]
        if 0 < len(lost) < len(names):
            with torch.no_grad():
                for name in lost:
                    module.net.get_parameter(name).zero_()
            yield (
                f"a part of the model is lost: its `{word}` ({len(lost)} tensors), such as an adapter",
                _asked(module),
            )


def _asked(module: nn.Module) -> Asked:
    def outputs(images_NCHW: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(np.array(images_NCHW))).flatten(1).numpy()

    return outputs
