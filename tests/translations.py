"""translations: small pairs of texts and models that translate them, for tests of what is done with them."""

from __future__ import annotations

import numpy as np
import torch

import lichen as li
from lichen.data import tokenizer
from lichen.engine.modules import architecture, backend

WORDS = {"moss": "Moos", "stone": "Stein", "bark": "Rinde", "rain": "Regen", "old": "alt", "wet": "nass"}


def sentences(num_rows, seed=0):
    """Different sentences of a few words."""
    draws, found = np.random.default_rng(seed), {}
    while len(found) < num_rows:
        found[" ".join(draws.choice(list(WORDS), draws.integers(1, 6)))] = None
    return list(found)


def translated(text):
    """Word by word, from the last to the first."""
    return " ".join(WORDS[word] for word in reversed(text.split()))


def pairs(num_rows=120, seed=0, **how):
    sources = sentences(num_rows, seed)
    return li.bitext(sources, [translated(source) for source in sources], **how)


def drawn(max_tokens=20, seed=0, size=264, **options):
    """A translator whose weights were drawn and never trained: it says odd things, all of them surely."""
    asset = tokenizer.learn([*WORDS, *WORDS.values()], size)
    teller = tokenizer.of(asset)
    chosen = {"depth": 2, "width": 32, "num_heads": 2, **options}
    torch.manual_seed(seed)
    net = architecture.build("seq2seq", chosen, (max_tokens, teller.size), 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    return backend.wrap(
        net, task="translation", assets={"tokenizer": asset, "max_tokens": max_tokens, "is_paired": True}
    )
