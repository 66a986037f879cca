"""head: give a model of texts a fresh head for the labels of the data, so that it can learn to tell them.

A sentence encoder or a language model keeps its body and its tokenizer; `finetune` then trains the head
alone first, `finetune(freeze="body")` nothing but it, and `prototype` makes one of class means.
"""

from __future__ import annotations

from typing import Literal

import torch

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.schema import Count, Seed, Task
from lichen.core.step import step
from lichen.engine.modules import backend, heads
from lichen.engine.task import task_of

KEPT = ("tokenizer", "max_tokens")


@step(splits=("train",), without=None)
def head(
    model: Model,
    data: Dataset,
    *,
    task: Task = "text_classification",
    kind: Literal["linear", "mlp", "cosine"] = "linear",
    max_tokens: Count | None = None,
    seed: Seed = 0,
) -> Model:
    """Replaces what a model says of texts; what it makes of them stays.

    Args:
        task: what the head is for.
        kind: of the head: one layer, two, or cosines to one vector per label.
        max_tokens: tokens read of a text from now on; None: as before.

    Raises:
        UsageError: the model reads no texts, or would read more tokens than it can.
    """
    wanted = task_of(task)
    wanted.check(data, "train")
    if "tokenizer" not in model.assets or "text" not in wanted.columns:
        raise UsageError("a fresh head is for models and tasks of texts",
                         hint="adapt.finetune(head='new') is for pictures")  # fmt: skip
    length = max_tokens or model.assets["max_tokens"]
    if length > model.options["in_shape"][0]:
        raise UsageError(f"the net reads {model.options['in_shape'][0]} tokens at most, not {length}")
    options = heads.options(dict(model.options), kind, wanted.num_outputs(data))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = backend.build(str(model.net), options)
    body = {
        name: tensor for name, tensor in model.torch().state_dict().items() if not name.startswith("head.")
    }
    module.load_state_dict(body, strict=False)
    kept = {name: model.assets[name] for name in KEPT}
    assets = {**kept, **wanted.assets(data), "max_tokens": length, "is_head_new": True}
    return Model.build(
        net=model.net, options=options, weights=backend.arrays_of(module), task=task, assets=assets
    )
