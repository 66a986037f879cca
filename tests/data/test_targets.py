"""Targets of Python are the same labels as numbers, words, arrays, series, sets or marks."""

import numpy as np
import pandas as pd
import pytest

from lichen.core.errors import DataError
from lichen.data import targets

NAMES = ["moss", "bark", "stone"]


@pytest.mark.parametrize(
    "given",
    [[1, 0, 2], (1, 0, 2), [1.0, 0.0, 2.0], np.array([1, 0, 2], np.uint8), pd.Series([1, 0, 2]),
     ["bark", "moss", "stone"], np.array(["bark", "moss", "stone"]), [np.int64(1), "moss", 2.0]],
)  # fmt: skip
def test_numbers_of_labels_and_words_are_the_same(given):
    assert targets.words(given, NAMES) == ["bark", "moss", "stone"]


def test_without_labels_numbers_are_words_themselves():
    assert targets.words([True, 0, 7.0, "x"], None) == ["1", "0", "7", "x"]
    assert targets.names(None, [1, 0]) is None and targets.names(NAMES, [1, 0]) == NAMES


def test_marks_and_sets_say_several_labels_alike():
    marks = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    wanted = [("moss", "stone"), (), ("bark",)]
    assert targets.words(marks, NAMES) == wanted
    assert targets.words([{0, "stone"}, [], ("bark", 1)], NAMES) == wanted
    assert targets.names(None, marks) == ["0", "1", "2"]
    assert targets.words(marks, None) == [("0", "2"), (), ("1",)]


@pytest.mark.parametrize(
    ("given", "labels", "words"),
    [([0, 3], NAMES, "below the 3 labels, not 3"), ([0, -1], NAMES, "below the 3 labels, not -1"),
     ([0, None], NAMES, "must have a label"), ([0, float("nan")], None, "must have a label"),
     ([0, 0.5], None, "must be a class"), ([["moss"], [5]], NAMES, "below the 3 labels, not 5"),
     (np.array([[1, 0, 0], [0, 2, 0]]), NAMES, "must hold 0 or 1")],
)  # fmt: skip
def test_what_is_no_class_is_named_by_its_row(given, labels, words):
    with pytest.raises(DataError, match=words) as caught:
        targets.words(given, labels)
    assert caught.value.where.startswith("targets, row 1")


def test_marks_need_a_label_for_each_column():
    with pytest.raises(DataError, match="targets of 3 columns must have as many labels, not 2"):
        targets.words(np.zeros((2, 3)), ["moss", "bark"])
