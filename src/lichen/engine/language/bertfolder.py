"""bertfolder: a BERT that someone trained, or a RoBERTa or DistilBERT, out of its folder, as the net `bert`.

They compute alike and differ in what their tensors are called and where places begin: a RoBERTa's first place
is the one after the number that fills texts up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.engine.language import encoderfolder
from lichen.engine.modules import architecture, backend, pretrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What files of a kind call what the net has.

    Args:
        prefix: of tensors in files that have more than the encoder.
        block: of the tensors of a block, by its number. parts: of a block, by their names in the net.
        sizes: in the configuration, by the options of the net. activation: likewise, what bends.
        pad: the number that fills texts up where the configuration does not say.
        has_segments: a vector for the segment is added to every token's.
        is_after_pad: places begin after the number that fills texts up.
    """

    prefix: str
    block: str
    parts: Mapping[str, str]
    sizes: Mapping[str, str]
    activation: str
    pad: int
    has_segments: bool
    is_after_pad: bool


BERT = Family(
    prefix="bert.", block="encoder.layer.{}.", pad=0, has_segments=True, is_after_pad=False,
    activation="hidden_act",
    parts={
        "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
        "out": "attention.output.dense", "after_attention": "attention.output.LayerNorm",
        "up": "intermediate.dense", "down": "output.dense", "after_mlp": "output.LayerNorm",
    },
    sizes={
        "depth": "num_hidden_layers", "width": "hidden_size", "num_heads": "num_attention_heads",
        "hidden": "intermediate_size",
    },
)  # fmt: skip
ROBERTA = Family(
    prefix="roberta.", block=BERT.block, parts=BERT.parts, sizes=BERT.sizes, activation=BERT.activation,
    pad=1, has_segments=True, is_after_pad=True,
)  # fmt: skip
DISTILBERT = Family(
    prefix="distilbert.", block="transformer.layer.{}.", pad=0, has_segments=False, is_after_pad=False,
    activation="activation",
    parts={
        "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin",
        "out": "attention.out_lin", "after_attention": "sa_layer_norm", "up": "ffn.lin1",
        "down": "ffn.lin2", "after_mlp": "output_layer_norm",
    },
    sizes={"depth": "n_layers", "width": "dim", "num_heads": "n_heads", "hidden": "hidden_dim"},
)  # fmt: skip
FAMILIES = {
    "bert": BERT, "roberta": ROBERTA, "xlm-roberta": ROBERTA, "camembert": ROBERTA, "distilbert": DISTILBERT,
}  # fmt: skip
"""By the type that a configuration says."""
KNOWN = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
OLD = {"gamma": "weight", "beta": "bias"}
"""What old files call the two tensors of a norm."""
EPSILON = 1e-12


def read(folder: Path) -> Model:
    """The model of a folder, as the net `bert`.

    Raises:
        DataError: a file is missing or is not what its name says.
        UsageError: it computes something else than `bert` does.
    """
    config, tensors = encoderfolder.mapping(folder / "config.json"), dict[str, Tensor]()
    family = _family(config, folder)
    pooling = encoderfolder.pooling_of(folder)
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(pretrained.read(path).tensors)
    sizes = {name: _number(config, said, folder) for name, said in family.sizes.items()}
    size, pad = _number(config, "vocab_size", folder), config.get("pad_token_id", family.pad)
    asset = encoderfolder.tokenizer_of(folder, size, pad)
    first = pad + 1 if family.is_after_pad else 0
    places = _number(config, "max_position_embeddings", folder) - first
    length = encoderfolder.longest(folder, places)
    options = {
        **sizes, "num_places": places, "pooling": pooling, "epsilon": config.get("layer_norm_eps", EPSILON),
    }  # fmt: skip
    net = architecture.build("bert", options, (length, size), 0)
    own = tensors_of(tensors, family, sizes["depth"], first)
    if (blank := asset.get("blank")) is not None:
        rows = own["tokens.weight"].clone()
        rows[0], rows[blank] = own["tokens.weight"][blank], own["tokens.weight"][0]
        own["tokens.weight"] = rows
    net.load_state_dict(own, strict=True)
    return backend.wrap(net, task=encoderfolder.TASK, assets={"tokenizer": asset, "max_tokens": length})


def tensors_of(theirs: Mapping[str, Tensor], family: Family, depth: int, first: int = 0) -> dict[str, Tensor]:
    """The tensors of a `bert` from those of a file.

    Args:
        first: place of the first token.

    Raises:
        DataError: one is missing; names it.
    """
    prefix = family.prefix if any(name.startswith(family.prefix) for name in theirs) else ""
    renamed = {_renamed(name): tensor for name, tensor in theirs.items()}

    def taken(name: str) -> Tensor:
        if prefix + name not in renamed:
            raise DataError(f"the weights have no tensor `{prefix + name}`",
                            hint=f"are they a {family.prefix[:-1]}'s?")  # fmt: skip
        return renamed[prefix + name].float()

    places = taken("embeddings.position_embeddings.weight")[first:]
    if family.has_segments:
        places = places + taken("embeddings.token_type_embeddings.weight")[0]
    found = {
        "tokens.weight": taken("embeddings.word_embeddings.weight"),
        "places.weight": places,
        **{f"norm.{leaf}": taken(f"embeddings.LayerNorm.{leaf}") for leaf in ("weight", "bias")},
    }
    for layer in range(depth):
        for own, name in family.parts.items():
            for leaf in ("weight", "bias"):
                found[f"blocks.{layer}.{own}.{leaf}"] = taken(f"{family.block.format(layer)}{name}.{leaf}")
    return found


def _renamed(name: str) -> str:
    front, _, leaf = name.rpartition(".")
    return f"{front}.{OLD.get(leaf, leaf)}"


def _family(config: Mapping[str, Any], folder: Path) -> Family:
    kind = config.get("model_type")
    family = FAMILIES.get(str(kind))
    if family is None:
        raise UsageError(f"`bert` computes {', '.join(FAMILIES)}, not {kind}", where=str(folder))
    for name, known in {family.activation: "gelu", **KNOWN}.items():
        if (given := config.get(name, known)) != known:
            raise UsageError(f"`bert` computes with {name} {known}, not {given}", where=str(folder))
    return family


def _number(config: Mapping[str, Any], name: str, folder: Path) -> int:
    if not isinstance(given := config.get(name), int):
        raise DataError(f"config.json must say `{name}`, a whole number", where=str(folder))
    return given
