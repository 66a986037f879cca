"""llamafolder: a language model as a folder that transformers and what reads its files open, and back.

config.json and model.safetensors are a LlamaForCausalLM's, tokenizer.json is the library's own file,
chat_template.jinja and the names of tokens in tokenizer_config.json are transformers'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lichen.core.errors import DataError, UsageError, missing_package
from lichen.core.model import Model
from lichen.data import chat, foreign, tokenizer
from lichen.data.files import read_bytes
from lichen.engine.language import llama
from lichen.engine.modules import architecture, backend, pretrained

TASK = "language_modelling"


def read(folder: Path) -> Model:
    """The model of a folder.

    Raises:
        DataError: a file is missing or is not what its name says.
        UsageError: it is a model that `gpt` cannot compute.
    """
    config, tensors = config_of(folder), dict[str, torch.Tensor]()
    llama.options_of(config)
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(pretrained.read(path).tensors)
    return of(config, tensors, foreign.asset_of(folder, config), chat.asset_of(folder))


def of(
    config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], asset: Mapping[str, Any],
    template: Mapping[str, Any] | None = None,
) -> Model:  # fmt: skip
    """The model of a Llama's configuration, tensors and tokenizer.

    Args:
        template: how it writes conversations.

    Raises:
        UsageError: `gpt` cannot compute it.
    """
    blank, size = asset.get("blank"), int(config["vocab_size"])
    if blank is not None and not blank < size:
        raise UsageError(
            "a gpt needs a number of its tokenizer that says nothing; all of this one's say something"
        )
    told = {**config, "bos_token_id": tokenizer.of(asset).end}
    net = llama.of(told, _swapped(tensors, blank))
    _, made = getattr(net, architecture.ORIGIN)
    assets = {"tokenizer": asset, "max_tokens": made["in_shape"][0], "is_packed": True}
    if template:
        assets["template"] = template
    return backend.wrap(net, task=TASK, assets=assets)


def _swapped(tensors: Mapping[str, torch.Tensor], blank: int | None) -> dict[str, torch.Tensor]:
    """Tensors by the numbers of tokens of the other side: 0 and `blank` change places."""
    found = dict(tensors)
    for name in (f"{llama.OUTER[table]}.weight" for table in ("tokens", "head")):
        if blank is not None and name in found:
            order_V = torch.arange(len(found[name]))
            order_V[0], order_V[blank] = blank, 0
            found[name] = found[name][order_V]
    return found


def write(model: Model, folder: Path) -> None:
    """Writes the files of a model.

    Raises:
        UsageError: no Llama computes what its net does.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise missing_package("safetensors", "vision") from None
    net = backend.module_of(model)
    teller = tokenizer.of(model.assets["tokenizer"])
    template = model.assets.get("template")
    ours = chat.of(model.assets).stops if template else teller.stops
    stops = sorted(teller.traded(stop) for stop in ours)
    config = {**llama.config_of(net), "bos_token_id": teller.traded(teller.end),
              "eos_token_id": stops[0] if len(stops) == 1 else stops}  # fmt: skip
    own = _swapped(llama.tensors_of(net), teller.blank)
    tensors = {name: tensor.contiguous() for name, tensor in own.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    write_words(model, folder)


def write_words(model: Model, folder: Path) -> None:
    """Writes how a model reads texts and conversations.

    The class is named in every folder: without it transformers takes pieces for granted beside a Llama.
    """
    asset, template = model.assets["tokenizer"], model.assets.get("template")
    (folder / "tokenizer.json").write_text(tokenizer.written(asset), encoding="utf-8")
    names = template["tokens"] if template else _bounds(asset)
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    if template:
        (folder / "chat_template.jinja").write_text(template["source"], encoding="utf-8")


def _bounds(asset: Mapping[str, Any]) -> dict[str, str]:
    """What the tokens are called that begin and end a text."""
    teller, backend = tokenizer.of(asset), tokenizer.speaking(asset)
    bounds = {"bos_token": teller.traded(teller.end), "eos_token": max(map(teller.traded, teller.stops))}
    named = {name: backend.id_to_token(number) for name, number in bounds.items()}
    return {name: word for name, word in named.items() if word is not None}


def config_of(folder: Path) -> dict[str, Any]:
    """What a folder's config.json says.

    Raises:
        DataError: it is not there, or is no mapping.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise DataError("a model must lie beside its config.json", where=str(path.parent))
    try:
        found = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"a configuration must be JSON: {error}", where=str(path)) from None
    if not isinstance(found, dict):
        raise DataError("a configuration must be a mapping", where=str(path))
    return found
