"""Arrays of the caller: forms are taken, bad rows are named."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 3, 6, 5), dtype=np.uint8)
TARGETS = np.arange(40) % 4


def test_every_form_of_the_same_pixels_is_the_same_dataset():
    forms = [PIXELS, PIXELS.transpose(0, 2, 3, 1), torch.from_numpy(PIXELS), PIXELS.astype("float32") / 255]
    assert len({li.arrays(form, TARGETS).digest for form in forms}) == 1


def test_splits_are_taken_as_told():
    data = li.arrays(PIXELS, TARGETS, labels=["a", "b", "c", "d"], splits=["train"] * 30 + ["test"] * 10)
    assert np.array_equal(data.rows("test").images, PIXELS[30:])
    assert (
        data.labels == ["a", "b", "c", "d"] and data.rows("train").targets.tolist() == TARGETS[:30].tolist()
    )


@pytest.mark.parametrize(("value", "text"), [(np.nan, "NaN"), (7.0, r"\[0, 1\]")])
def test_bad_pixels_name_their_row(value, text):
    pixels = PIXELS / 255
    pixels[17, 0, 0, 0] = value
    with pytest.raises(DataError, match=f"{text}(.|\n)*row 17"):
        li.arrays(pixels, TARGETS)


@pytest.mark.parametrize("bad", [0.5, None, float("nan"), -1, 9])
def test_bad_targets_name_their_row(bad):
    targets = [*TARGETS.tolist()]
    targets[3] = bad
    with pytest.raises(DataError, match="row 3"):
        li.arrays(PIXELS, targets, labels=["a", "b", "c", "d"])


def test_labels_of_texts_without_targets_are_refused():
    """They would name the classes of rows that have none."""
    with pytest.raises(DataError, match=r"told by `targets`(.|\n)*li.texts\(texts, targets\)"):
        li.texts(["moss", "bark"], labels=["good", "bad"])
