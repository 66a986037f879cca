"""test_convolution: a convolution computed as a product is the convolution, forward and backward."""

import pytest
import torch
from torch import nn

from lichen.engine.modules import convolution
from lichen.nets import resnet


@pytest.fixture(autouse=True)
def _few_channels_suffice(monkeypatch):
    monkeypatch.setattr(convolution, "CHANNELS", 1)


def passed(layer, x, gradient):
    """Output, gradient of the input and gradient of the weights."""
    x = x.clone().requires_grad_()
    layer.weight.grad = None
    y = layer(x)
    y.backward(gradient[: len(y), :, : y.shape[2], : y.shape[3]])
    return y.detach(), x.grad, layer.weight.grad


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side"),
    [(3, 1, 1, 4), (3, 2, 1, 8), (3, 2, 1, 7), (5, 1, 2, 4), (2, 2, 0, 8), (3, 1, 0, 6)],
)
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("has_bias", [False, True])
def test_it_agrees_with_torch_in_double_precision(kernel, stride, padding, side, form, has_bias):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(5, 7, kernel, stride, padding, bias=has_bias).double().to(memory_format=form)
    x = torch.randn(3, 5, side, side, dtype=torch.double, generator=generator).contiguous(memory_format=form)
    gradient = torch.randn(3, 7, 8, 8, dtype=torch.double, generator=generator)
    expected = passed(layer, x, gradient)
    with convolution.as_products(layer):
        found = passed(layer, x, gradient)
    for name, mine, theirs in zip(("output", "input", "weight"), found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10, msg=name)


def test_under_autocast_it_is_as_close_to_float32_as_torch_is():
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    x, gradient = (torch.randn(8, 64, 4, 4, generator=generator) for _ in range(2))
    exact = passed(layer, x, gradient)
    with torch.autocast("cpu", torch.bfloat16):
        usual = passed(layer, x, gradient)
        with convolution.as_products(layer):
            mine = passed(layer, x, gradient)
    for whole, theirs, own in zip(exact, usual, mine, strict=True):
        assert own.dtype == theirs.dtype
        assert (own - whole).norm() < 1.2 * (theirs - whole).norm() + 1e-6


def test_a_larger_picture_is_computed_as_before_bit_by_bit():
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    x, gradient = torch.randn(2, 4, 9, 9), torch.randn(2, 4, 9, 9)
    expected = passed(layer, x, gradient)
    with convolution.as_products(layer):
        found = passed(layer, x, gradient)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


def test_a_net_is_left_as_it_was_also_after_a_fault():
    net = resnet.build(in_shape=(3, 8, 8), num_outputs=2, width=4)
    with pytest.raises(KeyError), convolution.as_products(net):
        assert any("forward" in vars(layer) for layer in net.modules())
        raise KeyError
    assert not any("forward" in vars(layer) for layer in net.modules())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 4, 3, dilation=2, bias=False), nn.Conv2d(4, 4, (3, 1), bias=False),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", bias=False),
        nn.ConvTranspose2d(4, 4, 3, bias=False),
    ],
)  # fmt: skip
def test_other_kinds_of_convolution_are_left_alone(layer):
    assert not convolution.is_suitable(layer)


def test_few_channels_are_left_alone(monkeypatch):
    monkeypatch.undo()
    assert not convolution.is_suitable(nn.Conv2d(64, 64, 3, bias=False))
    assert convolution.is_suitable(nn.Conv2d(512, 512, 3, bias=False))
