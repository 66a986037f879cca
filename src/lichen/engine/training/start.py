"""start: what a trained model goes on learning from: its net, with a fresh head where labels are others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.engine.modules import heads
from lichen.engine.task import task_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What training starts from.

    Args:
        is_new: the head has learnt nothing yet.
    """

    module: nn.Module
    options: dict[str, Any]
    assets: dict[str, Any]
    is_new: bool


def of(
    model: Model, data: Dataset, num_outputs: int, *, head: str, kind: str | None = None, seed: int
) -> Start:
    """A copy of a model's net for other rows or labels.

    Args:
        head: `auto` replaces it where the data's labels are not the model's; `keep` insists on it; `new`
            replaces it.
        kind: of the head, one of `heads.KINDS`; None: the model's.

    Raises:
        UsageError: the head cannot be kept, or the net takes no other.
    """
    module, options = model.torch(), dict(model.options)
    keeps_labels = _keeps_labels(model, data)
    assets = {**model.assets, "labels": data.labels} if keeps_labels else dict(model.assets)
    is_same = not keeps_labels or list(model.assets.get("labels") or []) == data.labels
    is_new = assets.pop("is_head_new", False)
    kind = kind or heads.kind(module)
    if _takes_new_head(head, is_same=is_same, is_other=kind != heads.kind(module)):
        is_new, options = True, _replace_head(module, kind, num_outputs, options, seed)
    return Start(module=module, options=options, assets=assets, is_new=is_new)


def _takes_new_head(head: str, *, is_same: bool, is_other: bool) -> bool:
    if head == "keep" and (is_other or not is_same):
        wanted = "head must be of the kind asked for" if is_other else "labels must be the data's"
        raise UsageError(f"the model's {wanted} to keep its head", hint="head='new' replaces it")
    return head == "new" or is_other or not is_same


def _keeps_labels(model: Model, data: Dataset) -> bool:
    """Whether outputs are of labels; vectors, tokens and continuous actions mean the same under any."""
    if model.assets.get("labels"):
        return True
    side = model.assets["image_shape"][1] if "image_shape" in model.assets else None
    return bool(task_of(model.task).assets(data, side).get("labels"))


def _replace_head(
    module: nn.Module, kind: str, num_outputs: int, options: dict[str, Any], seed: int
) -> dict[str, Any]:
    """A fresh head of the width that the features have; the options that rebuild the net with it."""
    if num_outputs == 0:
        raise UsageError("a head that tells tokens is the tokenizer's and cannot be new", hint="head='keep'")
    if "num_outputs" not in options:
        raise UsageError("the net's builder must take `num_outputs` to be given a new head")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        heads.replace(module, kind, num_outputs)
    return heads.options(options, kind, num_outputs)
