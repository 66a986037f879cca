"""A sheet shows rows of every label, with all the labels that a row has."""

import numpy as np
import pytest

import lichen as li
from lichen.report import sheet


def pictures(targets, labels):
    images = np.zeros((len(targets), 1, 8, 8), np.uint8)
    return li.arrays(images + np.arange(len(targets), dtype=np.uint8)[:, None, None, None], targets, labels,
                     ["train"] * len(targets))  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_rows_of_several_labels_are_shown_once_with_all_of_them(tmp_path, suffix):
    marks = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0]])
    path = tmp_path / f"sheet{suffix}"
    assert sheet.write(pictures(marks, ["cat", "dog", "fox"]), path) == len(marks)
    if suffix == ".html":
        text = path.read_text()
        said = [part.split("</figcaption>")[0] for part in text.split("<figcaption>")[1:]]
        assert said == ["cat", "cat, dog", "dog", "fox", "none"]


def test_rows_of_one_label_come_label_by_label_and_not_all(tmp_path):
    path = tmp_path / "sheet.html"
    assert sheet.write(pictures(np.arange(30) % 3, ["a", "b", "c"]), path) == 3 * sheet.PER_LABEL
    captions = [part[0] for part in path.read_text().split("<figcaption>")[1:]]
    assert captions == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
