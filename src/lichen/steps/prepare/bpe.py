"""bpe: learn a tokenizer of byte pairs, which loses nothing on any text."""

from __future__ import annotations

from collections.abc import Iterator

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.core.model import Model
from lichen.core.schema import Count
from lichen.core.step import step
from lichen.data import conversations, tokenizer


@step(splits=("train",))
def bpe(data: Dataset, *, size: Count = 8192) -> Model:
    """Learns byte pairs from train texts, of pairs from both, or from what is said in conversations.

    The tokenizer is a Model without tensors.

    Args:
        size: different tokens at most, 260 at least: the bytes and a few that stand for no text.
    """
    if not {"text", "bitext", *conversations.KINDS} & data.schema.keys():
        raise DataError("a tokenizer is learnt from texts; the data has none", where=data.root)
    rows = data.rows("train")
    held = (row for _, span in rows.spans() for row in span)
    if {"text", "bitext"} & data.schema.keys():
        said: Iterator[str] = (part.decode() for row in held for part in rows.parts(row))
    else:
        said = (text for row in held for text in conversations.texts_of(row))
    asset = tokenizer.learn(said, size)
    return Model.build(net=None, options={}, weights={}, assets={"tokenizer": asset})
