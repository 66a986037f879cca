"""test_pixels: grey or colours, bytes or floats, in any order of axes: the same bytes; all else is named."""

import numpy as np
import pytest
import torch

from lichen.core.errors import DataError
from lichen.data import pixels

BYTES = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize("given", [
    BYTES, BYTES.transpose(0, 2, 3, 1), torch.from_numpy(BYTES), torch.from_numpy(BYTES / 255.0),
    (BYTES / 255).astype(np.float32),
])  # fmt: skip
def test_every_form_of_pictures_becomes_the_same_bytes(given):
    found = pixels.of_arrays(given)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and np.array_equal(found, BYTES)


def test_grey_pictures_without_an_axis_of_colours_get_one():
    assert np.array_equal(pixels.of_arrays(BYTES[:, 0]), BYTES[:, :1])


def test_every_byte_comes_back_from_a_float():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    for kind in (np.float32, np.float64):
        assert np.array_equal(pixels.of_arrays(levels.astype(kind) / kind(255)), levels)


def test_where_both_axes_may_be_colours_the_first_is():
    both = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    assert np.array_equal(pixels.of_arrays(both), both)


def test_what_is_given_is_never_written_to():
    given = BYTES.copy()
    pixels.of_arrays(given)
    assert np.array_equal(given, BYTES)


@pytest.mark.parametrize(("given", "said"), [
    (np.zeros((4, 4), np.uint8), r"\(N, H, W\).*not \(4, 4\)"),
    (np.zeros((1, 1, 1, 4, 4), np.uint8), "shape"),
    (np.zeros((2, 4, 4), np.int64), "uint8 or floats in .*not int64"),
    (np.zeros((2, 4, 4), bool), "not bool"),
    (np.array([[[0.5]], [[1.5]]]), r"0, 1\]; this row has 1.5 to 1.5(.|\n)*row 1"),
    (np.array([[[0.5]], [[-0.1]]]), r"row 1"),
    (np.array([[[0.5]], [[np.nan]]]), r"NaN(.|\n)*row 1"),
    (np.array([[[0.5]], [[np.inf]]]), r"row 1"),
])  # fmt: skip
def test_what_is_no_picture_is_named(given, said):
    with pytest.raises(DataError, match=said):
        pixels.of_arrays(given)
