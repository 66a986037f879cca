"""embedding: what a model makes of rows before it says anything of them, as vectors of length 1.

Shapes: N rows, T tokens of a text, D width of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.task import task_of

TASK = "sentence_embedding"
AT_ONCE = 512
"""Rows that are compared with all others at a time."""
SMALLEST = 1e-12


def embed(model: Model, inputs: Any) -> np.ndarray:
    """float32 (N, D), each row of length 1: cosines are products.

    Of a model that learnt to say where texts lie its answer; of others the features before their head.

    Args:
        inputs: what `predict` takes.

    Raises:
        DataError: there is nothing to embed, or it cannot be read; names it.
        UsageError: the net has no one vector of a row.
    """
    feed = feeds.of(model.assets)
    rows = [feed.decoded(item, f"input {place}", model.assets)
            for place, item in enumerate(feed.listed(inputs))]  # fmt: skip
    if not rows:
        raise DataError("there must be at least one input to embed")
    return unit(of_rows(model, np.stack(rows)))


def of_rows(model: Model, rows: np.ndarray) -> np.ndarray:
    """float32 (N, D) of rows as the net takes them, of any length."""
    if model.task == TASK:
        return answer.logits(model, rows)
    module, task = backend.module_of(model), task_of(model.task)
    if not callable(getattr(module, "features", None)):
        raise UsageError(f"a net must have `features(x)` to embed rows; {type(module).__name__} does not")
    order = feeds.order_of(rows, model.assets)
    order = np.arange(len(rows)) if order is None else order
    with torch.inference_mode():
        parts = [
            module.features(task.inputs(torch.from_numpy(rows[some].copy()), model.assets)).float()  # type: ignore[operator]
            for some in np.array_split(order, -(-len(order) // answer.BATCH_SIZE))
        ]
    if parts[0].ndim != 2:
        raise UsageError("this net has a vector for every token, and none for a whole text")
    return torch.cat(parts).numpy()[np.argsort(order)]


def unit(vectors_ND: np.ndarray) -> np.ndarray:
    """The same directions, each of length 1."""
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), SMALLEST)
