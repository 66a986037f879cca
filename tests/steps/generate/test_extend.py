"""extend: labels are matched by their words, and no row that judges comes in."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import LeakError, UsageError


def pictures(labels, seed=0, num_rows=60, side=8):
    draws = np.random.default_rng(seed)
    images = draws.integers(0, 256, (num_rows, 1, side, side), dtype=np.uint8)
    return li.arrays(images, np.arange(num_rows) % len(labels), labels=labels)


def test_labels_of_another_order_are_the_same_labels(tmp_path):
    with li.opened(tmp_path / ".lichen"):
        data, other = pictures(["a", "b", "c"]), pictures(["c", "a"], seed=1)
        whole = li.generate.extend(data, other)
    added = other.rows("train")
    said = [whole.labels[target] for target in whole.rows("train").targets[-len(added) :]]
    assert said == [other.labels[target] for target in added.targets]
    assert whole.made.call.step == "generate.extend" and "test" not in whole.made.call.read


def test_rows_of_test_do_not_come_in_and_the_guard_knows_who_has_seen_them(tmp_path, monkeypatch):
    with li.opened(tmp_path / ".lichen") as session:
        data = pictures(["a", "b", "c"])
        mine = np.concatenate([data.rows("test").images, pictures(["a"], seed=3).rows("train").images])
        other = li.arrays(mine, np.zeros(len(mine), int), labels=["a"], validation=0, test=0)
        whole = li.generate.extend(data, other)
        assert whole.num_synthetic == len(mine) - data.num_rows("test")
        with pytest.raises(LeakError, match="of test stand in train of data"):
            li.evaluate(li.pretrain.train(whole, net="mlp", epochs=1), whole, split="test")
        monkeypatch.setattr("lichen.data.extension.unjudged", lambda data, pixels: np.ones(len(pixels), bool))
        session.is_fresh = True
        with pytest.raises(LeakError, match="rows of train also stand in test"):
            li.pretrain.train(li.generate.extend(data, other), net="mlp", epochs=1)


def test_an_unknown_label_is_refused_with_the_nearest(tmp_path):
    with li.opened(tmp_path / ".lichen"):
        data = pictures(["coat", "shirt", "shoe"])
        with pytest.raises(UsageError, match="shirts") as caught:
            li.generate.extend(data, pictures(["shirts", "coat"], seed=1))
        assert "did you mean `shirt`" in str(caught.value)
