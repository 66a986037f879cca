"""Pictures of every size that can be halved; doublings that draw no checkerboard of their own."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lichen.core.errors import OptionError
from lichen.nets import generator


def build(shape=(1, 28, 28), width=4):
    torch.manual_seed(0)
    return generator.build(in_shape=(3, 6), image_shape=shape, width=width)


@pytest.mark.parametrize(
    ("side", "start", "count"), [(28, 7, 2), (32, 4, 3), (64, 4, 4), (6, 6, 0), (4, 4, 0)]
)
def test_a_map_is_doubled_up_to_any_side(side, start, count):
    net = build((3, side, side))
    assert net.start[1] == start and len(net.doublings) == count == generator.num_halvings(side)
    made = net(torch.randn(5, 9))
    assert made.shape == (5, 3, side, side) and made.abs().max() <= 1


def test_a_doubling_is_enlarging_and_a_convolution():
    """Four products per pixel instead of nine, and the same numbers."""
    torch.manual_seed(0)
    doubling, x = generator.Doubling(5, 3), torch.randn(2, 5, 6, 7)
    # A transposed kernel is read the other way round, and takes its channels in the other order.
    kernel = doubling.weight.transpose(0, 1).flip(2, 3)
    plain = functional.conv2d(functional.interpolate(x, scale_factor=2), kernel, doubling.bias, padding=1)
    torch.testing.assert_close(doubling(x), plain)


def spread(layer):
    """How far what a layer makes of an even map is from even, away from its rim."""
    with torch.no_grad():
        inner = layer(torch.ones(1, 4, 8, 8))[:, :, 3:-3, 3:-3]
    return float((inner - inner.mean((2, 3), keepdim=True)).abs().max())


def test_an_even_map_stays_even_and_the_planted_layer_draws_a_checkerboard():
    torch.manual_seed(0)
    assert spread(generator.Doubling(4, 4)) < 1e-6
    assert spread(nn.ConvTranspose2d(4, 4, 4, 2, 1)) > 1e-2


def test_class_and_code_both_count():
    net, code = build().eval(), torch.randn(1, 6)
    classes = torch.eye(3)
    made = net(generator.codes(classes, code.expand(3, 6)))
    assert not torch.equal(made[0], made[1])
    other = net(generator.codes(classes[:1], -code))
    assert not torch.equal(made[:1], other)
    code_grown = code.clone().requires_grad_()
    net(generator.codes(classes[:1], code_grown)).square().sum().backward()
    assert (code_grown.grad != 0).all()


@pytest.mark.parametrize("shape", [(1, 8, 12), (1, 3, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(OptionError, match="squares of side 4 or more"):
        build(shape)
