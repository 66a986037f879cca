"""Draws are a function of seed, epoch, row and number."""

import numpy as np
import torch

from lichen.data import draws


def splitmix(x):
    """The finaliser as Vigna prints it, in unbounded integers."""
    x &= 2**64 - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def test_numpy_torch_and_plain_integers_agree():
    numbers = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 500)
    expected = [draws.signed(splitmix(int(number))) for number in numbers]
    assert draws.mix(numbers).tolist() == expected
    assert draws.mix(torch.from_numpy(numbers)).tolist() == expected
    assert [draws.mix_number(int(number)) for number in numbers] == expected


def test_draws_do_not_depend_on_the_batch():
    ids, numbers = torch.arange(100) * 7919, torch.arange(6)
    whole = draws.uniforms(ids, numbers, seed=3, epoch=2)
    parts = [draws.uniforms(ids[rows], numbers, seed=3, epoch=2) for rows in torch.arange(100).split(13)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(draws.uniforms(ids, numbers[:2], seed=3, epoch=2), whole[:, :2])


def test_draws_are_uniform_and_uncorrelated():
    drawn = draws.uniforms(torch.arange(20_000), torch.arange(4), seed=0, epoch=0).double()
    others = draws.uniforms(torch.arange(20_000), torch.arange(4), seed=0, epoch=1).double()
    assert drawn.min() >= 0 and drawn.max() < 1
    assert torch.allclose(drawn.mean(0), torch.tensor(0.5).double(), atol=0.01)
    assert torch.corrcoef(torch.cat([drawn, others], 1).T).sub(torch.eye(8)).abs().max() < 0.03
