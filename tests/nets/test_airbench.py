"""test_airbench: the first layer leaves patches white, blocks begin as the identity, any side passes."""

import pytest
import torch
from torch.nn import functional

import lichen as li
from lichen.core.session import Session, using
from lichen.engine.modules import architecture
from lichen.nets import airbench


def pictures(rows=400, channels=3, side=8):
    """Smooth ones: neighbouring pixels are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(rows, channels, side // 2, side // 2, generator=generator)
    return functional.interpolate(coarse, scale_factor=2, mode="bilinear") + torch.randn(
        rows, channels, side, side, generator=generator
    )


def test_whitened_patches_are_uncorrelated_and_of_variance_one():
    x = pictures()
    answers = functional.conv2d(x, airbench.whitening(x)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(answers), torch.eye(12), rtol=0, atol=0.02)


def test_each_filter_stands_there_with_both_signs_and_does_not_learn():
    net = architecture.build("airbench", {}, (3, 32, 32), 10)
    net.prime(pictures(side=32))
    first, second = net.whiten.weight.chunk(2)
    assert torch.equal(first, -second) and not net.whiten.weight.requires_grad
    assert net.whiten.bias.requires_grad


def test_a_convolution_begins_as_the_identity_of_its_inputs():
    layer = architecture.build("airbench", {}, (3, 32, 32), 10).body[1][0]
    x = torch.randn(2, 64, 7, 7)
    assert torch.equal(layer(x)[:, :64], x)


@pytest.mark.parametrize("side", [4, 8, 28, 32])
def test_pictures_of_any_side_pass(side):
    net = architecture.build("airbench", {"widths": [8, 16, 16]}, (1, side, side), 5)
    assert net(torch.rand(3, 1, side, side)).shape == (3, 5)


def test_training_shows_it_the_train_rows_first():
    with using(Session(store=None)):
        data = li.load("digits", num_train=200)
        options = {"net": "airbench", "net_options": {"widths": [8, 8, 8]}, "precision": "float32"}
        model = li.pretrain.train(data, **options, epochs=1)
        again = li.pretrain.train(data, **options, epochs=1)
    assert model.digest == again.digest
    x = torch.from_numpy(data.rows("train").images.copy()).float() / 255
    mean, deviation = model.assets["mean"][0], model.assets["std"][0]
    expected = airbench.whitening((x - mean) / deviation)
    torch.testing.assert_close(model.torch().whiten.weight[:4].abs(), expected.abs(), rtol=1e-3, atol=1e-4)
