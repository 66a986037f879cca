"""bertfolder: a BERT that someone trained, out of its folder: config.json, safetensors, tokenizer.json.

What a sentence encoder's folder says beside them is kept to: how many tokens it reads, and that the mean of
its tokens is what it says of a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.data import foreign, tokenizer
from lichen.data.files import read_bytes
from lichen.engine.modules import architecture, backend, pretrained

TASK = "sentence_embedding"
NAMES = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "out": "attention.output.dense", "after_attention": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "after_mlp": "output.LayerNorm",
}  # fmt: skip
"""Parts of a block, and what its files call them."""


def claims(folder: Path) -> bool:
    """Whether a folder says that a BERT lies in it."""
    path = folder / "config.json"
    return path.is_file() and _mapping(path).get("model_type") == "bert"


def read(folder: Path) -> Model:
    """The model of a folder, as the net `bert`.

    Raises:
        DataError: a file is missing or is not what its name says.
        UsageError: it computes something else than `bert` does.
    """
    config, tensors = _mapping(folder / "config.json"), dict[str, Tensor]()
    _require_known(config, folder)
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(pretrained.read(path).tensors)
    asset = _tokenizer(folder, config)
    length = min(_longest(folder, config), config["max_position_embeddings"])
    options = {
        "depth": config["num_hidden_layers"], "width": config["hidden_size"],
        "num_heads": config["num_attention_heads"], "hidden": config["intermediate_size"],
        "num_places": config["max_position_embeddings"], "epsilon": config["layer_norm_eps"],
    }  # fmt: skip
    net = architecture.build("bert", options, (length, config["vocab_size"]), 0)
    net.load_state_dict(tensors_of(tensors, config["num_hidden_layers"]), strict=True)
    return backend.wrap(net, task=TASK, assets={"tokenizer": asset, "max_tokens": length})


def tensors_of(theirs: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """The tensors of a `bert` from those of a file.

    Raises:
        DataError: one is missing; names it.
    """
    prefix = "bert." if any(name.startswith("bert.") for name in theirs) else ""

    def taken(name: str) -> Tensor:
        if prefix + name not in theirs:
            raise DataError(f"the weights have no tensor `{prefix + name}`", hint="are they a BERT's?")
        return theirs[prefix + name].to(torch.float32)

    places = taken("embeddings.position_embeddings.weight")
    found = {
        "tokens.weight": taken("embeddings.word_embeddings.weight"),
        "places.weight": places + taken("embeddings.token_type_embeddings.weight")[0],
        **{f"norm.{leaf}": taken(f"embeddings.LayerNorm.{leaf}") for leaf in ("weight", "bias")},
    }
    for layer in range(depth):
        for own, name in NAMES.items():
            for leaf in ("weight", "bias"):
                found[f"blocks.{layer}.{own}.{leaf}"] = taken(f"encoder.layer.{layer}.{name}.{leaf}")
    return found


def _require_known(config: Mapping[str, Any], folder: Path) -> None:
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for name, known in wanted.items():
        if (given := config.get(name, known)) != known:
            raise UsageError(f"`bert` computes with {name} {known}, not {given}", where=str(folder))
    pooling = folder / "1_Pooling" / "config.json"
    modes = [name for name, is_on in (_mapping(pooling).items() if pooling.is_file() else ())
             if name.startswith("pooling_mode") and is_on is True]  # fmt: skip
    if modes not in ([], ["pooling_mode_mean_tokens"]):
        raise UsageError(f"`bert` says the mean of the tokens, not {', '.join(modes)}", where=str(pooling))


def _longest(folder: Path, config: Mapping[str, Any]) -> int:
    """Tokens that the encoder was trained to read."""
    path = folder / "sentence_bert_config.json"
    told = _mapping(path).get("max_seq_length") if path.is_file() else None
    return int(told or config["max_position_embeddings"])


def _tokenizer(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The asset of the tokenizer, with what it puts around every text."""
    opening, closing = _around(_mapping(folder / "tokenizer.json").get("post_processor") or {})
    bounds = {**config, "bos_token_id": opening[:1], "eos_token_id": closing[-1:]}
    asset = foreign.asset_of(folder, bounds)
    if tokenizer.of(asset).size > config["vocab_size"]:
        raise DataError("the tokenizer has more tokens than the model", where=str(folder))
    return {**asset, "around": [opening, closing]}


def _around(processor: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Tokens before and after a text: `[CLS]` and `[SEP]`."""
    if processor.get("type") == "BertProcessing":
        return [int(processor["cls"][1])], [int(processor["sep"][1])]
    if processor.get("type") != "TemplateProcessing":
        return [], []
    parts, ids = processor["single"], processor["special_tokens"]
    place = next(place for place, part in enumerate(parts) if "Sequence" in part)
    opening, closing = (
        [number for part in some for number in ids[part["SpecialToken"]["id"]]["ids"]]
        for some in (parts[:place], parts[place + 1 :])
    )
    return opening, closing


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"a model must lie beside its {path.name}", where=str(path.parent))
    try:
        found = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"a configuration must be JSON: {error}", where=str(path)) from None
    if not isinstance(found, dict):
        raise DataError("a configuration must be a mapping", where=str(path))
    return found
