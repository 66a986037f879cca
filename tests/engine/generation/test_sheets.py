"""Sheets: pictures stand where they are said to stand, and a way between codes is as normal as its ends."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.session import Session, using
from lichen.engine.generation import generating, sheets


def numbered(count, side=2, channels=1):
    """Pictures that are their own number."""
    return np.full((count, channels, side, side), np.arange(count)[:, None, None, None], np.uint8)


@pytest.fixture(scope="module")
def generator():
    draws = np.random.default_rng(0)
    rows = li.arrays(
        draws.integers(0, 256, (24, 1, 8, 8), dtype=np.uint8), np.arange(24) % 3, ["a", "b", "c"]
    )
    with using(Session()):
        return li.generate.gan(rows, epochs=1, num_codes=5, generator_options={"width": 4},
                               discriminator_options={"width": 4}, precision="float32").generator  # fmt: skip


def test_pictures_stand_in_lines():
    found = sheets.grid(numbered(6, channels=3), 3)
    assert found.shape == (3, 4, 6)
    assert found[0, ::2, ::2].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_belongs_to_a_picture_stands_below_it():
    assert sheets.beside(numbered(3), 100 + numbered(3))[0, ::2, ::2].tolist() == [[0, 1, 2], [100, 101, 102]]


def test_a_column_is_a_class_and_the_same_codes_are_asked_at_any_time(generator):
    module = generator.torch()
    once, again = (sheets.samples(module, 5, 3, seed=0) for _ in range(2))
    assert once.shape == (1, sheets.PER_CLASS * 8, 3 * 8) and np.array_equal(once, again)
    codes = generating.codes(sheets.PER_CLASS * 3, 5, seed=0)
    third = generating.pictures(module, np.array([2]), codes[5:6], 3)[0]
    assert np.array_equal(once[:, 8:16, 16:24], third), "line 1, column 2"
    assert sheets.classes(200, 2).tolist() == [*range(sheets.MOST_CLASSES)] * 2


def test_a_line_goes_from_one_code_to_another_through_codes_of_equal_spread(generator, monkeypatch):
    asked = []
    monkeypatch.setattr(generating, "pictures", lambda module, targets, codes, count: (
        asked.append((targets, codes)), numbered(len(targets)))[1])  # fmt: skip
    sheets.interpolation(generator, seed=3)
    ((targets, codes),) = asked
    ends = generating.codes(6, 5, seed=3)
    lines = codes.reshape(3, sheets.NUM_STEPS, 5)
    assert (
        targets.reshape(3, -1)[:, 0].tolist() == [0, 1, 2]
        and (np.ptp(targets.reshape(3, -1), axis=1) == 0).all()
    )
    np.testing.assert_allclose(lines[:, 0], ends[::2], atol=1e-6)
    np.testing.assert_allclose(lines[:, -1], ends[1::2], atol=1e-6)
    torch.manual_seed(0)
    a, b = torch.randn(2, 4000).numpy()
    angle = np.linspace(0, np.pi / 2, sheets.NUM_STEPS)[:, None]
    assert np.allclose((np.cos(angle) * a + np.sin(angle) * b).std(1), 1.0, atol=0.05)
