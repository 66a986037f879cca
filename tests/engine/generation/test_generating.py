"""What is drawn is a function of (seed, number, class), and truncation is a bound."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.engine.generation import generating


def test_a_code_depends_on_its_number_alone():
    many = generating.codes(50, 7, seed=3)
    assert np.array_equal(many[20:30], generating.codes(10, 7, seed=3, start=20))
    assert not np.array_equal(many, generating.codes(50, 7, seed=4))


def test_codes_are_normal_and_truncation_bounds_them():
    stats = pytest.importorskip("scipy.stats")
    free, bound = (generating.codes(400, 50, seed=0, truncation=t).ravel() for t in (None, 0.7))
    assert stats.kstest(free, "norm").pvalue > 0.01
    assert np.abs(bound).max() <= 0.7 and stats.kstest(bound, stats.truncnorm(-0.7, 0.7).cdf).pvalue > 0.01


def test_pixels_go_to_numbers_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(generating.to_pixels(generating.from_pixels(pixels)), pixels)


def test_a_classifier_draws_no_pictures():
    with using(Session()):
        model = li.pretrain.train(li.load("digits", num_train=40), net="mlp", epochs=1)
    with pytest.raises(UsageError, match="a generator draws pictures; this is a model of `mlp`"):
        generating.drawn(model, np.arange(3), seed=0)
