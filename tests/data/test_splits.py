"""A row's split is a function of the row."""

import hashlib

import numpy as np
import pytest

from lichen.core.errors import DataError
from lichen.data import splits
from lichen.data.scan import part


def rows(numbers, label="a"):
    contents = [hashlib.sha256(str(number).encode()).digest() for number in numbers]
    labels = [label if isinstance(label, str) else label[place] for place in range(len(contents))]
    return part(contents, labels, files=["x"], file=0, position=np.arange(len(contents)))


def members(parts):
    return {name: set(found.ids.tolist()) for name, found in parts.items()}


def test_new_data_never_moves_a_row_between_splits():
    before = members(splits.carve({"train": rows(range(500))}))
    after = members(splits.carve({"train": rows(range(900), "b")}))
    for name, ids in before.items():
        assert ids <= after[name]


def test_shares_are_about_as_asked():
    parts = splits.carve({"train": rows(range(5000))}, validation=0.1, test=0.2)
    assert abs(parts["test"].num_rows - 1000) < 100
    assert abs(parts["validation"].num_rows - 400) < 70


def test_what_exists_is_left_alone():
    test = rows(range(100, 150))
    parts = splits.carve({"train": rows(range(100)), "test": test})
    assert parts["test"] is test and "validation" in parts


def test_equal_pictures_fall_into_one_split_though_their_labels_differ():
    parts = members(splits.carve({"train": rows([*range(200), *range(200)], ["a"] * 200 + ["b"] * 200)}))
    assert not parts["train"] & parts["test"] and not parts["train"] & parts["validation"]


def test_shared_rows_leave_the_split_that_is_judged():
    parts = {"train": rows(range(10)), "validation": rows(range(8, 14)), "test": rows(range(12, 20))}
    apart = splits.separate(parts)
    assert {name: found.num_rows for name, found in apart.parts.items()} == {
        "train": 8,
        "validation": 4,
        "test": 8,
    }
    assert apart.dropped == {"train": 2, "validation": 2}


def test_shared_rows_are_refused_with_an_example():
    with pytest.raises(DataError, match="2 rows of train.*\n.*row 8"):
        splits.refuse({"train": rows(range(10)), "test": rows(range(8, 14))})
    splits.refuse({"train": rows(range(10)), "test": rows(range(20, 24))})


def test_a_smaller_limit_is_inside_a_larger_one_and_keeps_the_shares():
    labels = ["a"] * 300 + ["b"] * 100
    some, more = splits.limit(rows(range(400), labels), 40), splits.limit(rows(range(400), labels), 80)
    assert (some.num_rows, list(some.labels).count("a"), more.num_rows) == (40, 30, 80)
    assert set(some.ids.tolist()) <= set(more.ids.tolist())
