"""languages: small language models and their data, for tests of what is done with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import lichen as li
from lichen.data import tokenizer
from lichen.engine import architecture, backend, llama

WORDS = ["moss", "lichen", "stone", "bark", "rain", "grows", "on", "the", "old", "wet"]


def texts(num_rows=80, seed=0):
    """Sentences of few words, so that much of each is told by what stands before."""
    draws = np.random.default_rng(seed)
    rows = [" ".join(draws.choice(WORDS, draws.integers(2, 9))) + f" {row}." for row in range(num_rows)]
    return li.texts(rows)


def drawn(max_tokens=24, seed=0, size=260, **options):
    """A language model whose weights were drawn and never trained: it says odd things, all of them surely."""
    asset = tokenizer.learn(WORDS, size)
    teller = tokenizer.of(asset)
    chosen = {"depth": 2, "width": 32, "num_heads": 2, **options}
    torch.manual_seed(seed)
    net = architecture.build("gpt", chosen, (max_tokens, teller.size), 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    assets = {"tokenizer": asset, "max_tokens": max_tokens, "is_packed": True}
    return backend.wrap(net, task="language_modelling", assets=assets)


def llama_folder(folder: Path, **change) -> Path:
    """A folder with a small Llama that was never trained, its pieces single letters."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    options = {"depth": 1, "width": 16, "num_heads": 2, "mlp": "swiglu", "qk_norm": False}
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "mo", "ss", "moss"]
    pieces += list(" mosbarkwetl")
    net = architecture.build("gpt", options, (32, len(pieces)), 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    config = {**llama.config_of(net), "eos_token_id": 2, **change}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text(json.dumps([{"piece": piece, "score": 0.0} for piece in pieces]))
    tensors = {name: tensor.contiguous() for name, tensor in llama.tensors_of(net).items()}
    save_file(tensors, folder / "model.safetensors")
    return folder
