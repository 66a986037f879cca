"""languages: small language models and their data, for tests of what is done with one."""

from __future__ import annotations

import numpy as np
import torch

import lichen as li
from lichen.data import tokenizer
from lichen.engine import architecture, backend

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
