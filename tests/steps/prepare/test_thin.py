"""thin: rare classes keep what a share says, and nothing else moves."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import OptionError


@pytest.fixture
def data(tmp_path):
    with li.opened(tmp_path / ".lichen"):
        yield li.load("digits")


def counts(data, split="train"):
    return np.bincount(data.rows(split).targets, minlength=10)


def test_a_class_keeps_its_share_and_the_others_all(data):
    thinned, before = li.prepare.thin(data, shares={"6": 0.1, "0": 0.0}), counts(data)
    after = counts(thinned)
    assert after[6] == round(0.1 * before[6]) and after[0] == 1
    assert np.array_equal(np.delete(after, [0, 6]), np.delete(before, [0, 6]))
    for split in ("validation", "test"):
        assert thinned.splits[split] == data.splits[split]


def test_rows_are_those_they_were_and_a_larger_share_keeps_them(data):
    few, more = (li.prepare.thin(data, shares={"6": share}).rows("train") for share in (0.1, 0.3))
    assert set(few.ids) <= set(more.ids) <= set(data.rows("train").ids)
    places = [np.flatnonzero(data.rows("train").ids == number)[0] for number in few.ids]
    assert np.array_equal(few.images, data.rows("train").images[places])
    other = li.prepare.thin(data, shares={"6": 0.1}, seed=1).rows("train")
    assert set(other.ids) != set(few.ids)


def test_mistakes_are_named(data):
    with pytest.raises(OptionError, match="`66` in option `shares` is no class"):
        li.prepare.thin(data, shares={"66": 0.1})
    with pytest.raises(OptionError, match="from 0 to 1, not 2"):
        li.prepare.thin(data, shares={"6": 2})
