"""ggufwriting: a Llama's folder as one GGUF file, which llama.cpp and what is built on it open.

llama.cpp turns the halves of a query's or key's head pair by pair, so their rows are laid in turn. Rows of
weights may be rounded as it does: q8_0 and q4_0 are whole numbers of 8 and 4 bits, 32 to a scale; the table
of tokens and the head keep 8. The tokenizer lies inside, and how conversations are written.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import DataError, UsageError, missing_package
from lichen.core.model import Model
from lichen.data import chat, conversations
from lichen.data.foreign import SPACE
from lichen.data.tokenizer import PAD
from lichen.engine.language import llama, llamafolder
from lichen.engine.language.ggufreading import BEFORE_PAIRS
from lichen.engine.modules import backend, pretrained

NAME = "model.gguf"
KINDS = ("f32", "f16", "q8_0", "q4_0")
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
LAYERS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
FINER = {"token_embd": "q8_0", "output": "q8_0"}
"""Where four bits would cost most."""
BLOCK = 32
"""Weights that share a scale; rows that are no multiple of it stay f16."""
NORMAL, CONTROL, BYTE = 1, 3, 6
"""Kinds of tokens: of texts, those that stand for none, and single bytes."""
PROBE = [{"role": "user", "content": "a"}, {"role": conversations.ANSWERS, "content": "b"}]
"""Shows which tokens begin a conversation and end an answer."""


def write(model: Model, path: Path, kind: str) -> None:
    """Writes the file of a language model.

    Args:
        kind: of weights, one of KINDS; norms are always f32.

    Raises:
        UsageError: no Llama computes what its net does, or llama.cpp has no such tokenizer.
        MachineError: the library is not installed.
    """
    gguf = _package()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        llamafolder.write(model, folder)
        config, words = (json.loads((folder / name).read_text("utf-8"))
                         for name in ("config.json", "tokenizer.json"))  # fmt: skip
        tensors = pretrained.read(folder / "model.safetensors").tensors
    writer = gguf.GGUFWriter(path, "llama")
    _write_sizes(writer, config)
    _write_words(writer, words, config["vocab_size"])
    _write_bounds(writer, model, config)
    for name, numbers in _theirs(tensors, config):
        _write_tensor(writer, name, numbers, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(path: Path, model: Model) -> Model:
    """The model with the weights that a file of it holds: rounded ones are as far off as they are there."""
    gguf = _package()
    net = backend.module_of(model)
    config, found = llama.config_of(net), gguf.GGUFReader(path)
    held = {one.name: np.array(gguf.quants.dequantize(one.data, one.tensor_type), np.float32)
            for one in found.tensors}  # fmt: skip
    tensors = {}
    for name in llama.tensors_of(net):
        their = _name(name)
        numbers = torch.from_numpy(held[f"{their}.weight"])
        heads = _heads(their, config)
        tensors[name] = numbers if heads is None else _apart(numbers, heads)
    return model.with_weights(backend.arrays_of(llama.of(config, tensors)))


def _package() -> Any:
    try:
        import gguf
    except ImportError:
        raise missing_package("gguf", "text") from None
    return gguf


def _write_sizes(writer: Any, config: Mapping[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _write_words(writer: Any, words: Mapping[str, Any], size: int) -> None:
    """The tokenizer: pairs over bytes as GPT-2 has them, or pieces as SentencePiece has them.

    Raises:
        UsageError: it is another one.
    """
    held, is_of_pieces = words["model"], bool(words["model"].get("byte_fallback"))
    before = "default" if is_of_pieces else _before_pairs(words)
    if held["type"] != "BPE" or before is None:
        raise UsageError("a GGUF file takes tokenizers of GPT-2's kind or of SentencePiece's, not this one")
    tokens = {number: word for word, number in held["vocab"].items()}
    apart = {added["id"]: added["content"] for added in words.get("added_tokens") or () if added["special"]}
    listed = [apart.get(number, tokens.get(number, f"<unused{number}>")) for number in range(size)]
    writer.add_tokenizer_model("llama" if is_of_pieces else "gpt2")
    writer.add_tokenizer_pre(before)
    writer.add_token_list([word.replace(" ", SPACE) for word in listed] if is_of_pieces else listed)
    writer.add_token_types([_kind(number, word, apart, is_of_pieces) for number, word in enumerate(listed)])
    if is_of_pieces:
        writer.add_token_scores([-float(number) for number in range(size)])
    else:
        writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in held["merges"]])


def _before_pairs(words: Mapping[str, Any]) -> str | None:
    """The name of what is done to a text before bytes are put together; None: it has none that is known."""
    before = words.get("pre_tokenizer") or {"type": None}
    *first, last = before["pretokenizers"] if before["type"] == "Sequence" else [before]
    is_plain = last["type"] == "ByteLevel" and last.get("use_regex", True)
    if not is_plain or last["add_prefix_space"] or words.get("normalizer"):
        return None
    return next((name for name, known in BEFORE_PAIRS.items() if known == first), None)


def _write_bounds(writer: Any, model: Model, config: Mapping[str, Any]) -> None:
    """The tokens that begin and end texts and turns, as the template means them, and the template."""
    template, stops = model.assets.get("template"), config["eos_token_id"]
    bounds = {"bos_token": config["bos_token_id"],
              "eos_token": stops if isinstance(stops, int) else stops[-1]}  # fmt: skip
    begins = bounds["bos_token"]
    if template:
        spoken = chat.of(model.assets)
        named = {name: spoken.speaking.token_to_id(template["tokens"].get(name, "")) for name in bounds}
        bounds |= {name: number for name, number in named.items() if number is not None}
        begins, ends = _around(spoken, bounds["eos_token"])
        writer.add_chat_template(template["source"])
        writer.add_eot_token_id(ends)
    writer.add_bos_token_id(bounds["bos_token"])
    writer.add_eos_token_id(bounds["eos_token"])
    writer.add_add_bos_token(begins == bounds["bos_token"])


def _around(spoken: chat.Chat, usual: int) -> tuple[int | None, int]:
    """The file's numbers of the tokens that begin a conversation and end an answer.

    Args:
        usual: ends one where the template does not show it.
    """
    try:
        read_S, told_S = spoken.told(PROBE)
    except DataError:
        return None, usual
    last, traded = int(told_S[told_S != PAD][-1]), spoken.tokenizer.traded
    return traded(~int(read_S[0])), traded(last) if last in spoken.stops else usual


def _kind(number: int, word: str, apart: Mapping[int, str], is_of_pieces: bool) -> int:
    if number in apart or word.startswith("<unused") or (is_of_pieces and word in ("<unk>", "<s>", "</s>")):
        return CONTROL
    return BYTE if is_of_pieces and word.startswith("<0x") else NORMAL


def _theirs(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and numbers of each tensor as llama.cpp has them."""
    for name in sorted(tensors):
        their, numbers = _name(name), tensors[name].float()
        heads = _heads(their, config)
        yield their, (numbers if heads is None else _in_turn(numbers, heads)).contiguous().numpy()


def _name(name: str) -> str:
    """What llama.cpp calls a Llama's tensor, without its `.weight`."""
    stem = name.removesuffix(".weight")
    if stem in OUTER:
        return OUTER[stem]
    number, layer = stem.removeprefix("model.layers.").split(".", 1)
    return f"blk.{number}.{LAYERS[layer]}"


def _heads(their: str, config: Mapping[str, Any]) -> int | None:
    """How many heads turn in a matrix; None: none does."""
    counts = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
    count = counts.get(their.rpartition(".")[2])
    return config[count] if count else None


def _in_turn(weight_OI: Tensor, num_heads: int) -> Tensor:
    """Rows of which the two halves of each head lie in turn, not one after the other."""
    return weight_OI.unflatten(0, (num_heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _apart(weight_OI: Tensor, num_heads: int) -> Tensor:
    """The same back."""
    return weight_OI.unflatten(0, (num_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _write_tensor(writer: Any, name: str, numbers: np.ndarray, kind: str) -> None:
    gguf = _package()
    chosen = FINER.get(name, kind) if kind == "q4_0" else kind
    if chosen.startswith("q") and numbers.shape[-1] % BLOCK:
        chosen = "f16"
    if numbers.ndim == 1 or chosen == "f32":
        writer.add_tensor(f"{name}.weight", numbers)
        return
    theirs = gguf.GGMLQuantizationType[chosen.upper()]
    writer.add_tensor(f"{name}.weight", gguf.quants.quantize(numbers, theirs), raw_dtype=theirs)
