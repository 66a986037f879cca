"""load: take a net with weights that someone trained, their normalisation with them.

The labels are the data's. A head of another number of classes is replaced by a fresh one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Net, Seed, Source, Task
from lichen.core.step import step
from lichen.engine.inputs import feeds
from lichen.engine.modules import architecture, backend, pretrained
from lichen.engine.task import task_of

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
NOTED = {"imagenet mean/std": "imagenet", "imagenet": "imagenet", "half": "half"}
"""What a file's own notes call its normalisation."""


@step(splits=("train",), without={"weights": None})
def load(
    data: Dataset,
    *,
    net: Net,
    weights: Source | None,
    net_options: dict | None = None,
    task: Task = "image_classification",
    image_size: Count | None = None,
    head: Literal["auto", "keep", "new"] = "auto",
    normalisation: Literal["auto", "imagenet", "half", "data"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Loads a net with pretrained weights.

    Args:
        weights: a safetensors file, looked for as data are, or `timm:<name>` for those of a timm net; null:
            random.
        net_options: what the net's builder takes.
        image_size: the side pictures are resized to; None: what the net was trained at, else their own size.
        head: auto keeps the file's where it has as many classes as the data; keep insists on it; new replaces
            it.
        normalisation: of pixels: auto is the file's or the net's own where they say it, else the data's.
        seed: of what is not loaded.
    """
    learnt = task_of(task)
    learnt.check(data, "train")
    found = pretrained.read(Path(weights)) if weights is not None else None
    expected = architecture.expected(net)
    assets = feeds.assets_of(
        learnt, data, image_size=image_size or expected.get("image_size"),
        normaliser=_normaliser(normalisation, found.notes if found else {}, expected),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = architecture.build(net, net_options or {}, feeds.in_shape(assets), learnt.num_outputs(data))
    has_head = found is not None and _fill(module, pretrained.matched(found.tensors, module), head)
    run.emit("note", text="the head is theirs" if has_head else "the head is new")
    return backend.wrap(module, task=task, assets=assets if has_head else {**assets, "is_head_new": True})


def _normaliser(told: str, notes: Any, expected: Any) -> tuple[list[float], list[float]] | None:
    """Mean and deviation per channel; None: measure the data."""
    noted = NOTED.get(notes.get("normalisation", "")) if told == "auto" else told
    if noted == "imagenet":
        return IMAGENET
    if noted == "half":
        return HALF
    return (expected["mean"], expected["std"]) if told == "auto" and "mean" in expected else None


def _fill(module: torch.nn.Module, tensors: dict[str, torch.Tensor], head: str) -> bool:
    """Puts the tensors in place; says whether the head's were among them."""
    in_head = [name for name in module.state_dict() if name.startswith("head.")]
    has_head = all(name in tensors for name in in_head)
    if head == "keep" and not has_head:
        raise UsageError(
            "the weights' head must have as many classes as the data", hint="head='new' replaces it"
        )
    has_head &= head != "new"
    kept = {name: tensor for name, tensor in tensors.items() if has_head or name not in in_head}
    module.load_state_dict(kept, strict=False)
    return has_head
