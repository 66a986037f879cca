"""Every layer is held at one, and the plain net that is left answers the same."""

import pytest
import torch
from torch import nn

from lichen.engine.generation import spectral
from lichen.engine.modules import architecture


def discriminator(seed=0):
    torch.manual_seed(seed)
    return architecture.build("discriminator", {"width": 4}, (1, 8, 8), 3)


def matrices(module):
    return [layer.weight.flatten(1) for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def test_the_largest_singular_value_becomes_one():
    judge = discriminator()
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter.mul_(7.0)
    normed = spectral.normed(judge).train()
    with torch.no_grad():
        for _ in range(60):  # each pass brings the power iteration nearer
            normed(torch.randn(2, 1, 8, 8))
        values = [float(torch.linalg.matrix_norm(one, 2)) for one in matrices(normed)]
    assert values == pytest.approx([1.0] * len(values), rel=0.02)


def test_scaling_a_matrix_changes_no_answer():
    """Only its direction counts, so a rate cannot make the discriminator steeper."""
    one, other = (spectral.normed(discriminator()).eval() for _ in range(2))
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.endswith("original"):
                parameter.mul_(3.0)
        x = torch.randn(4, 1, 8, 8)
        torch.testing.assert_close(one(x), other(x))


def test_the_plain_net_answers_the_same_and_is_the_net_of_its_file():
    normed = spectral.normed(discriminator()).eval()
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        said = normed(x)
        plain = spectral.plain(normed)
        torch.testing.assert_close(plain(x), said)
    assert plain.state_dict().keys() == discriminator().state_dict().keys()
    again = discriminator(1)
    again.load_state_dict(plain.state_dict())
    torch.testing.assert_close(again(x), plain(x))
