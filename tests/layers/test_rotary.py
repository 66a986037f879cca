"""Turned queries and keys meet by their distance alone, and keep their lengths."""

import torch

from lichen.layers.rotary import turned, turns


def pair(width=8, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1, 1, 1, width, generator=draws).unbind()


def met(places, base=100.0):
    q, k = pair()
    turn_1TK = turns(torch.tensor([places]), 8, base)
    return float((turned(q, turn_1TK[:, :1]) * turned(k, turn_1TK[:, 1:])).sum())


def test_only_the_distance_of_two_places_counts():
    torch.testing.assert_close(met([3, 7]), met([40, 44]), atol=1e-5, rtol=0)
    assert abs(met([3, 7]) - met([3, 8])) > 1e-2


def test_a_pair_is_a_complex_number_times_a_unit():
    x, _ = pair()
    place = torch.tensor([[5]])
    angles = 5.0 * 100.0 ** (-torch.arange(4) / 4)
    left, right = x.chunk(2, -1)
    told = torch.complex(left, right) * torch.polar(torch.ones(4), angles)
    torch.testing.assert_close(
        turned(x, turns(place, 8, 100.0)[:, None]), torch.cat([told.real, told.imag], -1)
    )
