"""peftfolder: the adapter of a language model as a folder that peft opens on its base, checked by opening it.

Where the base is what a Llama computes, layers go by a Llama's names, so that the folder fits what
`--format llama` writes of the base; else by those of the net.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import AdapterError, UsageError
from lichen.core.model import Model
from lichen.engine.inputs import feeds
from lichen.engine.language import llama, llamafolder
from lichen.engine.modules import architecture, backend
from lichen.engine.training import adapters
from lichen.engine.training.merging import PROMPT

PREFIX = "base_model.model."


def write(model: Model, folder: Path) -> None:
    """Writes the adapter alone.

    Raises:
        AdapterError: the model has none, or its base is not here.
        UsageError: peft knows no adapter like it.
    """
    if not model.is_adapted:
        raise AdapterError("peft reads adapters; this model has none",
                           hint="--format llama writes a whole model")  # fmt: skip
    if not feeds.are_packed(model.assets):
        raise UsageError("peft's folders are written of language models", hint="--format lichen")
    with adapters.quietly():
        made = _wrapped(model)
        _fill(made, model)
        _sort(made)
        made.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # peft's own, of blanks to be filled in
    llamafolder.write_words(model, folder)


def _sort(made: Any) -> None:
    """Puts what peft keeps as sets in order, so that the same adapter is the same bytes in every process."""
    for config in made.peft_config.values():
        for name, value in vars(config).items():
            if isinstance(value, set):
                setattr(config, name, sorted(value))


def read(folder: Path, model: Model) -> Model:
    """The adapter of a folder, merged by peft itself into the base of a model."""
    peft = adapters.library()
    base = model.base()
    net, is_llama = _theirs(base)
    with adapters.quietly():
        made = peft.PeftModel.from_pretrained(net, folder)
        if model.face["adapter"]["method"] == PROMPT:
            own = {**base.weights(), "virtual.weight": backend.array_of(_prompt(made).detach())}
            return base.with_weights(own, options=model.options)
        merged = made.merge_and_unload()
    if is_llama:
        merged = llama.of(llama.config_of(backend.module_of(base)), merged.state_dict())
    return base.with_weights(backend.arrays_of(merged))


def _theirs(base: Model) -> tuple[nn.Module, bool]:
    """What peft wraps: the Llama that computes what a base does, or its own net."""
    net = backend.module_of(base)
    try:
        return llama.module_of(net), True
    except UsageError:
        return net, False


def _wrapped(model: Model) -> Any:
    """A fresh adapter of peft around the base."""
    peft, about = adapters.library(), model.face["adapter"]
    net, is_llama = _theirs(model.base())
    if about["method"] != PROMPT:
        names = [_name(layer, is_llama) for layer in about["layers"]]
        config = adapters.config(peft, about, 0.0, targets=_targets(net, names))
        if is_llama:
            config.task_type = peft.TaskType.CAUSAL_LM
        return peft.get_peft_model(net, config)
    if not is_llama:
        raise UsageError("peft puts a prompt before a Llama; no Llama computes what this net does",
                         hint="mlp='swiglu', qk_norm=False")  # fmt: skip
    num_virtual = model.options["num_virtual"]
    return peft.get_peft_model(net, peft.PromptTuningConfig(
        task_type=peft.TaskType.CAUSAL_LM, num_virtual_tokens=num_virtual))  # fmt: skip


def _targets(net: nn.Module, names: list[str]) -> list[str]:
    """The ends of names, as most readers of such files expect, where they say the same layers; else names."""
    ends = sorted({name.rpartition(".")[2] for name in names})
    meant = {name for name, _ in net.named_modules() if name.rpartition(".")[2] in ends}
    return ends if meant == set(names) else names


def _name(layer: str, is_llama: bool) -> str:
    return llama.theirs(f"{layer}.weight").rpartition(".")[0] if is_llama else layer


@torch.no_grad()
def _fill(made: Any, model: Model) -> None:
    """Copies the adapter's tensors into that of peft."""
    own, about = model.weights(model.manifest["face"]), model.face["adapter"]
    if about["method"] == PROMPT:
        _prompt(made).copy_(backend.tensor_of(own["virtual.weight"]))
        return
    is_llama = not hasattr(made.base_model.model, architecture.ORIGIN)
    for layer in about["layers"]:
        held: Mapping[str, Tensor] = adapters.held(made.get_submodule(PREFIX + _name(layer, is_llama)))
        for kind, tensor in held.items():
            tensor.copy_(backend.tensor_of(own[f"{layer}.{kind}"]).view_as(tensor))


def _prompt(made: Any) -> Tensor:
    """The vectors that peft puts before a text."""
    return made.prompt_encoder[adapters.NAME].embedding.weight
