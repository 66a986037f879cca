"""test_nature: of a game's frames it is the published net, and of small pictures it still is one."""

import pytest
import torch

from lichen.nets import nature


def test_of_four_frames_it_has_the_published_number_of_weights():
    """Mnih et al. 2015: 32 8x8 filters, 64 4x4, 64 3x3, 512 units, 18 actions at most: 1.69 million."""
    net = nature.build(in_shape=(4, 84, 84), num_outputs=4)
    convolutions = 32 * (4 * 64 + 1) + 64 * (32 * 16 + 1) + 64 * (64 * 9 + 1)
    assert sum(p.numel() for p in net.parameters()) == convolutions + 512 * (7 * 7 * 64 + 1) + 4 * 513


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 42, 42)])
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_small_pictures_pass_through_filters_no_larger_than_they_are(shape, norm):
    net = nature.build(in_shape=shape, num_outputs=2, widths=(4, 4, 4), dense=8, norm=norm)
    assert net(torch.rand(3, *shape)).shape == (3, 2)


def test_with_norms_brighter_frames_of_one_shade_answer_alike():
    """The first norm takes away what all pixels share: nothing but a bias tells shades apart."""
    net = nature.build(in_shape=(1, 20, 20), num_outputs=2, widths=(4, 4, 4), dense=8, norm="layer")
    with torch.no_grad():
        net.body[0].bias.zero_()
        dark, bright = (net(torch.full((1, 1, 20, 20), shade)) for shade in (10.0, 100.0))
    torch.testing.assert_close(dark, bright, rtol=1e-3, atol=1e-4)
