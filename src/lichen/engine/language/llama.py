"""llama: the net `gpt` out of a LlamaForCausalLM and into one, tensor by tensor, where both compute the same.

What a Llama cannot say (ReLU^2, normed queries and keys, an answer about whole texts) and what `gpt` cannot
(biases, scaled turns) is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import UsageError, missing_package
from lichen.engine.modules import architecture
from lichen.layers.block import Block
from lichen.nets.gpt import Gpt

NAMES = {
    "before_attention": "input_layernorm", "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj", "attention.value": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj", "before_mlp": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj",
}  # fmt: skip
"""Layers of a block, here and there."""
OUTER = {"tokens": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
PLAIN = {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu", "model_type": "llama"}
"""What a Llama's configuration must say, or leave unsaid, to be a `gpt`."""


def theirs(name: str) -> str:
    """What a Llama calls a tensor of `gpt`."""
    stem, _, leaf = name.rpartition(".")
    if stem in OUTER:
        return f"{OUTER[stem]}.{leaf}"
    _, number, layer = stem.split(".", 2)
    return f"model.layers.{number}.{NAMES[layer]}.{leaf}"


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `gpt` that compute what a Llama of this configuration does.

    Raises:
        UsageError: there are none; names what stands in the way.
    """
    for name, plain in PLAIN.items():
        if config.get(name, plain) != plain:
            raise UsageError(f"a Llama must have {name}={plain} to be a gpt, not {config[name]!r}")
    try:
        width, num_heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head_width = int(config.get("head_dim") or 0)
        options = {
            "depth": int(config["num_hidden_layers"]), "width": width, "num_heads": num_heads,
            "num_kv_heads": int(config.get("num_key_value_heads") or num_heads), "mlp": "swiglu",
            "hidden": int(config["intermediate_size"]), "qk_norm": False,
            "is_tied": bool(config.get("tie_word_embeddings", False)), "base": _base(config),
            "epsilon": float(config.get("rms_norm_eps", 1e-6)), "end": int(config.get("bos_token_id") or 0),
        }  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the configuration of a Llama must say its sizes: {error}") from None
    if head_width and head_width * num_heads != width:
        options["head_width"] = head_width
    return options


def _base(config: Mapping[str, Any]) -> float:
    """The base of the angles; newer configurations name it among `rope_parameters`."""
    turning = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = turning.get("rope_type", turning.get("type", "default"))
    if kind != "default":
        raise UsageError(f"the turns of a gpt are not scaled, as `{kind}` does")
    return float(turning.get("rope_theta", config.get("rope_theta", 10_000.0)))


def of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """A `gpt` with a Llama's weights, in float32.

    Args:
        tensors: by the Llama's names, such as a `state_dict()` or a safetensors file has them.

    Raises:
        UsageError: a `gpt` cannot compute the same, or a tensor is missing or has another shape.
    """
    options = options_of(config)
    in_shape = int(config.get("max_position_embeddings", 2048)), int(config["vocab_size"])
    with torch.random.fork_rng(devices=[]):
        net = architecture.build("gpt", options, in_shape, 0)
    for name, tensor in net.state_dict().items():
        their = OUTER["tokens"] + ".weight" if name == "head.weight" and options["is_tied"] else theirs(name)
        found = tensors.get(their)
        if found is None or found.shape != tensor.shape:
            said = "missing" if found is None else f"of shape {list(found.shape)}, not {list(tensor.shape)}"
            raise UsageError(f"the Llama's tensor `{their}` is {said}")
        tensor.copy_(found)
    return net


def config_of(net: nn.Module) -> dict[str, Any]:
    """The configuration of the Llama that computes what a `gpt` does.

    Raises:
        UsageError: none does; names what stands in the way.
    """
    if not isinstance(net, Gpt):
        raise UsageError(f"a Llama can be made of a gpt, not of a {type(net).__name__}")
    block = net.blocks[0]
    assert isinstance(block, Block)
    attention, mlp = block.attention, block.mlp
    refused = {
        "norms queries and keys (qk_norm)": attention.qk_norm,
        "has ReLU^2 in its blocks (mlp='relu2')": mlp.gate is None,
        "tells kinds of whole texts (num_outputs)": net.reads_whole,
        "begins with a learnt prompt (num_virtual)": net.virtual is not None,
    }
    for what, is_so in refused.items():
        if is_so:
            raise UsageError(f"this gpt {what}, which a Llama cannot", hint="mlp='swiglu', qk_norm=False")
    _, made = getattr(net, architecture.ORIGIN)
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": net.tokens.num_embeddings,
        "hidden_size": net.tokens.embedding_dim, "intermediate_size": mlp.up.out_features,
        "num_hidden_layers": len(net.blocks), "num_attention_heads": attention.query.out_features
        // attention.head_width, "num_key_value_heads": attention.key.out_features // attention.head_width,
        "head_dim": attention.head_width, "hidden_act": "silu", "rms_norm_eps": attention.epsilon,
        "rope_parameters": {"rope_theta": net.base, "rope_type": "default"},
        "tie_word_embeddings": net.head.weight is net.tokens.weight, "attention_bias": False,
        "mlp_bias": False, "bos_token_id": net.end, "eos_token_id": net.end,
        "max_position_embeddings": made["in_shape"][0], "dtype": "float32",
    }  # fmt: skip


def tensors_of(net: nn.Module) -> dict[str, Tensor]:
    """A `gpt`'s weights by the names of a Llama; a tied head is left out."""
    assert isinstance(net, Gpt)
    is_tied = net.head.weight is net.tokens.weight
    own = net.state_dict()
    return {theirs(name): own[name] for name in own if not (is_tied and name == "head.weight")}


def module_of(net: nn.Module) -> nn.Module:
    """The LlamaForCausalLM that computes what a `gpt` does.

    Raises:
        UsageError: none does.
        MachineError: transformers is not installed.
    """
    config = config_of(net)
    try:
        import transformers
    except ImportError:
        raise missing_package("transformers", "text") from None
    kept = {name: config[name] for name in config.keys() - {"architectures", "model_type"}}
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**kept))
    made.load_state_dict(tensors_of(net), strict=False)
    return made.eval()
