"""The tokenizer is a recorded Model without tensors, learnt from train rows alone."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.core.session import opened
from lichen.data import tokenizer

TEXTS = [f"{word} moss number {row}" for row, word in enumerate(["green", "grey", "old", "wet"] * 20)]


def test_it_is_a_model_without_tensors_that_is_found_again(tmp_path):
    data = li.texts(TEXTS, np.arange(80) % 2)
    with opened(tmp_path / ".lichen") as session:
        made = li.prepare.bpe(data, size=300)
        again = li.prepare.bpe(data, size=300)
        assert made == again and session.counts == {"computed": 1, "found": 1}
    assert made.num_params == 0 and made.weights() == {} and made.made.call.read == ("train",)
    made.save(tmp_path / "t.lichen")
    assert li.open(tmp_path / "t.lichen") == made
    read = tokenizer.of(made.assets["tokenizer"])
    assert read.decode(read.encode(["wet moss 😀"])[0]) == "wet moss 😀"


def test_rows_of_other_splits_do_not_count():
    train, more = TEXTS[:40], ["zebra zebra zebra"] * 30
    splits = ["train"] * 40
    alone = li.prepare.bpe(li.texts(train, splits=splits), size=300)
    beside = li.prepare.bpe(
        li.texts([*train, *more], splits=[*splits, *["validation"] * 30], duplicates="drop"), size=300
    )
    assert alone.assets == beside.assets


def test_mistakes_are_named():
    pictures = li.arrays(
        np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype("u1"), np.arange(20) % 2
    )
    with pytest.raises(DataError, match="learnt from texts"):
        li.prepare.bpe(pictures)
    made = li.prepare.bpe(li.texts(TEXTS, np.arange(80) % 2), size=300)
    with pytest.raises(UsageError, match="no net, only tokenizer"):
        made.torch()
    with pytest.raises(UsageError, match="takes no tokenizer"):
        li.pretrain.train(pictures, made, net="mlp")
