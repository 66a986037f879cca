"""test_conformance: every net of the shelf: features, a head, both shapes, gradients everywhere."""

import pytest
import torch

from lichen.core import find
from lichen.engine import architecture

NETS = sorted(name for name in {*find.shelf("nets")} | {
    variant for path in find.shelf("nets").values() for variant in find.variants(path)
} if name != "resnet110")  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_a_net_keeps_the_convention(net):
    module = architecture.build(net, {}, (1, 32, 32), 5).eval()
    x = torch.rand(2, 1, 32, 32)
    features = module.features(x)
    assert features.ndim == 2 and module(x).shape == (2, 5)
    assert torch.equal(module.head(features), module(x))
    module(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters() if parameter.requires_grad)
    # Untrained batch norm does not normalise in eval: outputs of deep nets are large.
    torch.testing.assert_close(
        module(x)[:1] / module(x).abs().max(), module(x[:1]) / module(x).abs().max(), rtol=0, atol=1e-5
    )
