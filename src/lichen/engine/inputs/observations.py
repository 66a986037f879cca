"""observations: what a policy is handed becomes the numbers that its net takes.

Shapes: N observations, ... the shape of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import DataError
from lichen.engine.inputs.normaliser import LIMIT

WHITE = 255.0
"""What the bytes of a picture are shares of."""


def floats(x: Tensor) -> Tensor:
    """What a net takes while it learns: numbers as they are, the bytes of pictures as shares of white."""
    return x.float() / WHITE if x.dtype == torch.uint8 else x.float()


def inputs(batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
    """float32 (N, ...) -> the same in deviations from the mean, where the policy keeps these.

    One mean and one deviation are those of every number.
    """
    if "mean" not in assets:
        return batch.float()
    shape = batch.shape[1:] if len(assets["mean"]) > 1 else ()
    mean, std = (torch.tensor(assets[name], device=batch.device).reshape(shape) for name in ("mean", "std"))
    return ((batch.float() - mean) / std).clamp(-LIMIT, LIMIT)


def typed(text: str, piped: bytes | None) -> list[Any]:
    """The observations that a word of the command line means: numbers in brackets, or a line of them each."""
    lines = [text] if piped is None else piped.decode(errors="replace").splitlines()
    return [_numbers(line) for line in lines if line.strip()]


def _numbers(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise DataError("an observation is a list of numbers, such as [0.1, -2]", where=line[:80]) from None


def listed(inputs: Any) -> list[Any]:
    """The observations one by one."""
    if hasattr(inputs, "ndim"):
        return list(np.asarray(inputs)) if inputs.ndim > 1 else [inputs]
    is_many = isinstance(inputs, Sequence) and len(inputs) > 0 and not isinstance(inputs[0], int | float)
    return list(inputs) if is_many else [inputs]


def decoded(item: Any, where: str, assets: Mapping[str, Any]) -> np.ndarray:
    """float32 (...) of one observation.

    Raises:
        DataError: it has another shape, or holds what is no finite number; names it.
    """
    shape = tuple(assets["observation_shape"])
    try:
        found = np.asarray(item, np.float32)
    except (TypeError, ValueError):
        raise DataError("an observation must be numbers", where=where) from None
    if found.shape != shape:
        raise DataError(f"an observation must have the shape {shape}, not {found.shape}", where=where)
    if not np.isfinite(found).all():
        raise DataError("an observation must hold finite numbers", where=where)
    return found
