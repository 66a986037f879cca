"""test_film: an episode stands side by side and moves, as one picture after another."""

import io

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.report import film, findings, page

Image = pytest.importorskip("PIL.Image")
DRAWS = np.random.default_rng(0)


def frames(gif):
    """Every picture of a GIF in colours, and how long it stands."""
    opened, found = Image.open(io.BytesIO(gif)), []
    for place in range(opened.n_frames):
        opened.seek(place)
        found.append((np.asarray(opened.convert("RGB")), opened.info["duration"]))
    return found


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_follow_each_other_in_their_order_and_the_last_one_stands_longest(channels):
    shades = (0, 60, 120, 250)
    found = frames(film.gif_of([np.full((channels, 20, 30), shade, np.uint8) for shade in shades]))
    assert [int(picture.max()) for picture, _ in found] == pytest.approx(shades, abs=4)
    assert found[0][0].shape == (20, 30, 3)
    assert [lasts for _, lasts in found] == [film.PAUSE_MS] * 3 + [film.LAST_MS]


def test_equal_pictures_make_equal_bytes():
    pictures = list(DRAWS.integers(0, 255, (3, 3, 12, 12), np.uint8))
    assert film.gif_of(pictures) == film.gif_of(pictures)


@pytest.fixture
def found(tmp_path):
    with session.opened(tmp_path / ".lichen") as opened:
        world = li.environment("worlds:Long")
        policy = li.decide.reinforce(world, num_steps=64, num_envs=2, judge_episodes=0)
        yield findings.gather(policy, opened)


def test_the_report_shows_both(found):
    text = film.film(found)
    assert text.count("data:image/png;base64,") == text.count("data:image/gif;base64,") == 1
    assert "it returned 101" in text and "The same in" in text
    assert text in page.html(found)


def test_without_pillow_it_shows_the_strip_alone(found, monkeypatch):
    monkeypatch.setattr(film, "gif_of", lambda pictures: None)
    text = film.film(found)
    assert "data:image/png" in text and "gif" not in text
