"""test_fakequant: the grid, its gradient, and the plain net that is left."""

import pytest
import torch
from torch import nn

from lichen.engine.compression.fakequant import HIGH, HIGH_NARROW, MOMENTUM, Ranged, Rounded, simulated


@pytest.mark.parametrize("high", [HIGH, HIGH_NARROW])
def test_weights_are_rounded_to_integers_per_output_channel(high):
    weight = torch.randn(6, 4, 3, 3) * torch.logspace(-3, 3, 6)[:, None, None, None]
    rounded = Rounded(high)(weight)
    scale = weight.abs().flatten(1).amax(1)[:, None, None, None] / high
    torch.testing.assert_close(rounded, (weight / scale).round() * scale)
    torch.testing.assert_close(Rounded(high)(rounded), rounded)


def test_scaling_a_channel_scales_its_grid():
    """So a batch-norm may be folded in afterwards: the same integers come out."""
    weight, gain = torch.randn(6, 4), torch.rand(6, 1) + 0.5
    torch.testing.assert_close(Rounded()(weight * gain), Rounded()(weight) * gain)


def test_the_range_follows_the_extremes_and_holds_zero():
    ranged = Ranged().train()
    ranged(torch.tensor([1.0, 5.0]))
    assert (ranged.low.item(), ranged.high.item()) == (0.0, 5.0)
    ranged(torch.tensor([-2.0, 9.0]))
    torch.testing.assert_close(ranged.high, torch.tensor(5.0 + 4.0 * MOMENTUM))
    held = ranged.high.clone()
    x = torch.linspace(-3, 12, 50)
    found = ranged.eval()(x)
    assert torch.equal(ranged.high, held)
    step = (ranged.high - ranged.low) / 255
    inside = (x > ranged.low) & (x < ranged.high)
    assert ((found - x).abs()[inside] <= step / 2 + 1e-6).all()
    assert ranged(torch.zeros(3)).abs().max() == 0.0, "padding stays zero"


def test_the_gradient_passes_the_rounding_and_not_the_cut():
    ranged = Ranged().train()
    ranged(torch.tensor([0.0, 1.0]))
    x = torch.tensor([0.3, 0.7, 5.0], requires_grad=True)
    ranged.eval()(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_afterwards_the_net_is_plain_and_its_weights_lie_on_the_grid():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    names, x = list(module.state_dict()), torch.randn(8, 2, 6, 6)
    with simulated(module):
        assert len(module.state_dict()) == len(names) + 4
        module.train()(x).sum().backward()
    assert sorted(module.state_dict()) == sorted(names) and type(module[0]) is nn.Conv2d
    torch.testing.assert_close(module[0].weight, Rounded()(module[0].weight))
    assert not module[0]._forward_pre_hooks
