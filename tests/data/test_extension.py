"""Synthetic rows join train alone, and every row says where it comes from."""

import numpy as np
import pytest

import lichen as li
from lichen.core.dataset import Dataset
from lichen.core.errors import LeakError, UsageError
from lichen.core.session import Session, using
from lichen.data import extension, manifest
from lichen.data.png import encode


def pictures(num_rows, seed):
    draws = np.random.default_rng(seed)
    return draws.integers(0, 256, (num_rows, 3, 8, 8), dtype=np.uint8)


def real(num_rows=90):
    splits = (["train"] * 4 + ["validation"] + ["test"]) * (num_rows // 6)
    return li.arrays(pictures(num_rows, 0), np.arange(num_rows) % 3, labels=["a", "b", "c"], splits=splits)


@pytest.fixture
def folder(tmp_path):
    """The same sort of rows as files, which lie encoded."""
    for split in ("train", "validation"):
        for label in "abc":
            (tmp_path / split / label).mkdir(parents=True)
            for row, pixels in enumerate(pictures(8, [ord(label), len(split)])):
                (tmp_path / split / label / f"{row}.png").write_bytes(encode(pixels))
    return tmp_path


def test_train_has_the_real_rows_and_then_the_others_and_the_rest_stays(folder):
    for data in (real(), li.load(str(folder))):
        added, targets = pictures(5, 9), np.array([2, 0, 1, 1, 2])
        whole = extension.extended(data, added, targets, origin="synthetic x")
        before, after = data.rows("train"), whole.rows("train")
        assert np.array_equal(after.images, np.concatenate([before.images, added]))
        assert np.array_equal(after.targets, np.concatenate([before.targets, targets]))
        assert np.array_equal(after.digests[: len(before)], before.digests)
        for split in data.splits.keys() - {"train"}:
            assert whole.splits[split] == data.splits[split]
            assert np.array_equal(whole.rows(split).images, data.rows(split).images)
        assert whole.num_synthetic == 5 and "synthetic" in whole.facts()


def test_provenance_names_every_row_and_survives_a_second_extension():
    data, added = real(), pictures(6, 9)
    once = extension.extended(data, added[:2], np.array([0, 1]), origin="synthetic x")
    twice = extension.extended(once, added[2:], np.array([0, 1, 2, 0]), origin="synthetic y")
    found = extension.provenance(twice)
    assert found.names == ("real", "synthetic x", "synthetic y")
    assert found.is_real.sum() == data.num_rows("train") and twice.num_synthetic == 6
    assert [found.names[code] for code in found.codes[-6:]] == ["synthetic x"] * 2 + ["synthetic y"] * 4
    assert extension.provenance(data).is_real.all()
    assert extension.provenance(twice, "validation").is_real.all()


def test_rows_that_judge_are_known_without_being_opened():
    data = real()
    closed = data.opened(("train",))
    test = data.rows("test").images
    mine = np.concatenate([pictures(3, 9), test[:2], data.rows("validation").images[:1]])
    assert extension.unjudged(closed, mine).tolist() == [True] * 3 + [False] * 3
    with pytest.raises(LeakError):
        closed.rows("test")


def test_rows_of_test_are_compared_in_any_form(folder):
    data = li.load(str(folder))
    assert not extension.unjudged(data, data.rows("validation").images).any()


def test_nothing_is_no_extension():
    with pytest.raises(UsageError, match="no synthetic rows"):
        extension.extended(real(), pictures(0, 1), np.zeros(0, int), origin="x")


def test_a_planted_synthetic_row_of_validation_is_refused_by_every_step():
    data = real()
    splits = {**data.splits, "validation": {**data.splits["validation"], "num_synthetic": 1}}
    planted = Dataset(manifest={**data.manifest, "splits": splits}, blobs=data.blobs)
    with using(Session()), pytest.raises(LeakError, match="1 rows of validation are synthetic"):
        li.pretrain.train(planted, net="mlp", epochs=1)


def test_ids_of_a_closed_split_are_its_rows():
    data = real()
    assert np.array_equal(manifest.ids(data.opened(("train",)), "test"), data.rows("test").ids)
