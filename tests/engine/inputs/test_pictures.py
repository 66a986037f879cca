"""test_pictures: a picture is the same pixels in whatever form it is handed in."""

import io

import numpy as np
import pytest
from PIL import Image

from lichen.core.errors import DataError
from lichen.engine.inputs import feeds, pictures

GREY, COLOUR = {"image_shape": [1, 8, 8]}, {"image_shape": [3, 8, 8]}
DRAWS = np.random.default_rng(0)
ORIENTATION = 0x0112


def written(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = Image.fromarray(DRAWS.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return written(image, format="JPEG", exif=exif)


FILES = {
    "turned by its camera": turned(),
    "of 16 bits": written(Image.fromarray(DRAWS.integers(0, 2**16, (8, 8), dtype=np.uint16)), format="PNG"),
    "larger": written(Image.fromarray(DRAWS.integers(0, 256, (20, 16, 3), dtype=np.uint8)), format="PNG"),
    "of a palette": written(
        Image.fromarray(DRAWS.integers(0, 256, (20, 20, 3), dtype=np.uint8)).convert("P"), format="GIF"
    ),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("assets", [GREY, COLOUR])
def test_an_opened_picture_is_read_as_its_file_is(kind, assets, tmp_path):
    (tmp_path / "a").write_bytes(FILES[kind])
    shape = assets["image_shape"]
    with Image.open(tmp_path / "a") as image:
        by_path, by_bytes, opened, again = (
            pictures.of_shape(item, "input 0", shape) for item in (tmp_path / "a", FILES[kind], image, image)
        )
    for found in (by_bytes, opened, again):
        assert np.array_equal(by_path, found)
    assert 40 < by_path.mean() < 215


def test_a_picture_whose_numbers_have_no_range_is_refused():
    with pytest.raises(DataError, match="no agreed range(.|\n)*input 0"):
        pictures.of_shape(Image.fromarray(np.ones((8, 8), np.float32)), "input 0", [1, 8, 8])


@pytest.mark.parametrize(
    ("assets", "shape", "num"),
    [(GREY, (3, 8, 8), 3), (GREY, (1, 8, 8), 1), (GREY, (4, 8, 8), 4), (GREY, (8, 8, 1), 1),
     (GREY, (8, 8, 3), 1), (GREY, (3, 8, 3), 1), (GREY, (3, 3, 8, 8), 3), (GREY, (8, 8), 1),
     (COLOUR, (3, 8, 8), 1), (COLOUR, (8, 8, 3), 1), (COLOUR, (4, 8, 8), 4), (COLOUR, (5, 3, 8, 8), 5)],
)  # fmt: skip
def test_arrays_are_one_picture_or_many_by_the_channels_of_what_takes_them(assets, shape, num):
    rows = np.zeros(shape, np.uint8)
    feed = feeds.of(assets)
    assert len(feed.listed(rows)) == num
    assert all(feed.decoded(row, "", assets).shape == (*assets["image_shape"],) for row in feed.listed(rows))
