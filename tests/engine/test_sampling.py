"""Tokens are drawn as their chances say, and chances are the closed forms."""

import numpy as np
import pytest
import torch

from lichen.core.errors import OptionError
from lichen.engine.sampling import Sampling


def logits(rows=1):
    return torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.06, 0.04]])).repeat(rows, 1)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"temperature": 1.0}, [0.4, 0.3, 0.2, 0.06, 0.04]),
        ({"temperature": 0.5}, np.array([0.16, 0.09, 0.04, 0.0036, 0.0016]) / 0.2952),
        ({"temperature": 0}, [1, 0, 0, 0, 0]),
        ({"temperature": 1.0, "top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"temperature": 1.0, "top_k": 9}, [0.4, 0.3, 0.2, 0.06, 0.04]),
        ({"temperature": 1.0, "top_p": 0.65}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"temperature": 1.0, "top_p": 0.01}, [1, 0, 0, 0, 0]),
        ({"temperature": 1.0, "min_p": 0.4}, [4 / 9, 3 / 9, 2 / 9, 0, 0]),
    ],
)
def test_chances_are_the_closed_forms(given, wanted):
    found = Sampling(**given).chances(logits())[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_draws_have_the_chances_of_their_tokens():
    sampling, count = Sampling(temperature=1.0, top_k=4, seed=7), 4000
    drawn_N = sampling.draw(logits(count), range(count), 3).numpy()
    shares = np.bincount(drawn_N, minlength=5) / count
    np.testing.assert_allclose(shares, sampling.chances(logits())[0].numpy(), atol=0.03)
    assert shares[4] == 0


@pytest.mark.parametrize(
    "given", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}, {"min_p": -0.1}]
)
def test_figures_out_of_their_range_are_refused(given):
    with pytest.raises(OptionError, match=f"`{next(iter(given))}` must be"):
        Sampling(**given)
