"""bpe: learn a tokenizer of byte pairs, which loses nothing on any text."""

from __future__ import annotations

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.core.model import Model
from lichen.core.schema import Count
from lichen.core.step import step
from lichen.data import tokenizer


@step(splits=("train",))
def bpe(data: Dataset, *, size: Count = 8192) -> Model:
    """Learns byte pairs from train texts; the tokenizer is a Model without tensors.

    Args:
        size: different tokens at most, 260 at least: the bytes and a few that stand for no text.
    """
    if "text" not in data.schema:
        raise DataError("a tokenizer is learnt from texts; the data has none", where=data.root)
    spans = data.rows("train").spans()
    asset = tokenizer.learn((text.decode() for _, span in spans for text in span), size)
    return Model.build(net=None, options={}, weights={}, assets={"tokenizer": asset})
