"""ggufreading: a Llama out of a GGUF file: configuration, weights in float32 and tokenizer.

llama.cpp turns the two halves of a query's or key's head pair by pair, so their rows lie interleaved there.
Quantized weights become numbers again; what was lost in them stays lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import DataError, UsageError, missing_package
from lichen.core.model import Model
from lichen.data import chat, foreign
from lichen.engine.language import llama, llamafolder

OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYERS = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
SIZES = {
    "hidden_size": "embedding_length", "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count", "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv", "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "max_position_embeddings": "context_length",
}  # fmt: skip
CONTROL, DEFINED = 3, 4
"""The types of a token that stands for no text, and of one that is no piece of others."""
UNUSED = "<unused"
BEFORE_PAIRS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [], "default": [], "smollm": [{"type": "Digits", "individual_digits": True}],
}  # fmt: skip
"""What a tokenizer does before it puts bytes together, by the name that GGUF has for it."""


def read(path: Path) -> Model:
    """The model of a file.

    Raises:
        DataError: it is no GGUF file, or a damaged one.
        UsageError: it is of another architecture, or has a tokenizer of a kind that is not known here.
    """
    found = opened(path)
    config = config_of(found)
    llama.options_of(config)
    return llamafolder.of(config, _tensors(found, config), _tokenizer(found, config), template_of(found))


def opened(path: Path) -> Any:
    """The library's reader of a file.

    Raises:
        DataError: it is no GGUF file, or a damaged one.
        MachineError: the library is not installed.
    """
    try:
        import gguf
    except ImportError:
        raise missing_package("gguf", "text") from None
    try:
        return gguf.GGUFReader(path)
    except (ValueError, OSError, LookupError, TypeError, ArithmeticError) as error:
        raise DataError(f"this is no GGUF file, or a damaged one: {error}", where=str(path)) from None


def said(found: Any, name: str) -> Any:
    """What a file says under a name; None where it says nothing."""
    held = found.get_field(name)
    return held.contents() if held is not None else None


def config_of(found: Any) -> dict[str, Any]:
    """A Llama's configuration.

    Raises:
        UsageError: the file holds another architecture.
    """
    kind = said(found, "general.architecture")
    if kind != "llama":
        raise UsageError(f"a Llama is read out of a GGUF file here, not a `{str(kind)[:40]}`")
    sizes = {name: said(found, f"llama.{theirs}") for name, theirs in SIZES.items()}
    scaling = said(found, "llama.rope.scaling.type")
    names = {tensor.name for tensor in found.tensors}
    stops = [said(found, f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    return {
        **{name: size for name, size in sizes.items() if size is not None}, "model_type": "llama",
        "head_dim": said(found, "llama.attention.key_length"),
        "rope_parameters": {
            "rope_theta": said(found, "llama.rope.freq_base") or 10_000.0,
            "rope_type": scaling if scaling not in (None, "none") else
            "llama3" if "rope_freqs.weight" in names else "default",
        },
        "tie_word_embeddings": "output.weight" not in names,
        "vocab_size": len(said(found, "tokenizer.ggml.tokens") or []),
        "bos_token_id": said(found, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": [number for number in dict.fromkeys(stops) if number is not None],
    }  # fmt: skip


def template_of(found: Any) -> dict[str, Any] | None:
    """How the model of a file writes conversations; None where it does not say."""
    source, words = said(found, "tokenizer.chat_template"), said(found, "tokenizer.ggml.tokens") or []
    if not source:
        return None
    numbers = {name: said(found, f"tokenizer.ggml.{name}_id") for name in ("bos_token", "eos_token")}
    return chat.asset(source, {name: words[number] for name, number in numbers.items() if number is not None})


def _tensors(found: Any, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Float32 tensors by a Llama's names."""
    from gguf import quants

    heads = {"attn_q": config["num_attention_heads"],
             "attn_k": config.get("num_key_value_heads", config["num_attention_heads"])}  # fmt: skip
    tensors = {}
    for tensor in found.tensors:
        stem, _, leaf = tensor.name.rpartition(".")
        _, _, layer = stem.rpartition(".")
        theirs = OUTER.get(stem) or f"model.layers.{stem.split('.')[1]}.{LAYERS.get(layer, layer)}"
        numbers = torch.from_numpy(np.array(quants.dequantize(tensor.data, tensor.tensor_type), np.float32))
        tensors[f"{theirs}.{leaf}"] = apart(numbers, heads[layer]) if layer in heads else numbers
    return tensors


def apart(weight_OI: Tensor, num_heads: int) -> Tensor:
    """Rows of which the two halves of each head lie one after the other, not interleaved."""
    return weight_OI.unflatten(0, (num_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _tokenizer(found: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The asset of the tokenizer in a file.

    Raises:
        UsageError: it is of a kind that is not known here.
    """
    kind, before = said(found, "tokenizer.ggml.model"), said(found, "tokenizer.ggml.pre") or "default"
    pieces, bounds = said(found, "tokenizer.ggml.tokens"), foreign.bounds_of(config)
    if kind == "llama":
        _require_pieces(pieces, said(found, "tokenizer.ggml.token_type") or [])
        return {"kind": "pieces", "pieces": [*foreign.APART, *pieces[len(foreign.APART) :]], **bounds}
    if kind != "gpt2" or before not in BEFORE_PAIRS:
        raise UsageError(f"a tokenizer `{kind}` that splits texts as `{before}` is not known here")
    asset = {"kind": "file", "file": _of_pairs(found, pieces, BEFORE_PAIRS[before]), **bounds}
    return foreign.settled(asset, config, said(found, "tokenizer.chat_template") or "")


def _require_pieces(words: list[str], kinds: list[int]) -> None:
    """Refuses tokens that are put together out of no others, such as those which begin turns.

    Raises:
        UsageError: there are such tokens beside those that all have.
    """
    for word, kind in list(zip(words, kinds, strict=False))[len(foreign.APART) :]:
        if kind in (CONTROL, DEFINED) and not word.startswith(UNUSED):
            raise UsageError(
                f"a tokenizer of pieces must have no token apart from them; this one has `{word}`"
            )


def _of_pairs(found: Any, words: list[str], before: list[dict[str, Any]]) -> dict[str, Any]:
    """A tokenizer of byte pairs as its library writes it."""
    library = foreign.package()
    merges = [tuple(merge.split(" ")) for merge in said(found, "tokenizer.ggml.merges") or []]
    made = library.Tokenizer(
        library.models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=merges)
    )
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    kinds = said(found, "tokenizer.ggml.token_type") or []
    made.add_special_tokens([word for word, kind in zip(words, kinds, strict=False) if kind == CONTROL])
    file = json.loads(made.to_str())
    if before:
        file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*before, file["pre_tokenizer"]]}
    return file
