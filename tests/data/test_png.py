"""test_png: an independent reader sees the pixels that were written."""

import io

import numpy as np
import pytest

from lichen.data.png import data_uri, decode_uri, encode

Image = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_reads_the_same_pixels(channels):
    pixels = np.random.Generator(np.random.Philox(0)).integers(0, 256, (channels, 5, 7)).astype("uint8")
    read = np.asarray(Image.open(io.BytesIO(encode(pixels))))
    assert np.array_equal(
        read if channels == 1 else read.transpose(2, 0, 1), pixels[0] if channels == 1 else pixels
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_data_uri_is_read_back(channels):
    pixels = np.random.Generator(np.random.Philox(1)).integers(0, 256, (channels, 5, 7)).astype("uint8")
    assert np.array_equal(decode_uri(data_uri(pixels)), pixels)
