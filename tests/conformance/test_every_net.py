"""test_every_net: what every file of `nets/` must do; a new one is tested on the day it lands."""

import pytest
import torch

from lichen.core import find
from lichen.engine.modules import architecture, backend

SHAPE, TOKENS, CODES, OUTPUTS = (3, 32, 32), (20, 300), (3, 16), 5
HEAVY = ("hf", "hfencoder", "hfpairs")
"""Nets of a library that takes long to import."""
LARGER = {"inception": (3, 80, 80)}
"""Pictures of nets that halve them too often for small ones."""
NAMES = sorted(
    {name for path in find.shelf("nets").values() for name in find.variants(path)}
    | {address for address, path in find.shelf("nets").items() if not find.variants(path)}
)

EACH = [pytest.param(name, marks=[pytest.mark.slow] * (name in HEAVY)) for name in NAMES]


def takes(name):
    """What a net's file says that it takes: the numbers of texts or of pairs of them, codes, or pixels."""
    return getattr(find.load(find.net_module(name)), "TAKES", "pixels")


def pictures(name):
    return LARGER.get(name, SHAPE)


def takes_tokens(name):
    return takes(name) == "tokens"


def built(name):
    torch.manual_seed(0)
    shape = {"tokens": TOKENS, "pairs": TOKENS, "codes": CODES}.get(takes(name), pictures(name))
    return architecture.build(name, {}, shape, 0 if takes(name) == "pairs" else OUTPUTS)


def inputs(name, rows, seed=1):
    draws = torch.Generator().manual_seed(seed)
    if takes_tokens(name) or takes(name) == "pairs":
        return torch.randint(1, TOKENS[1], (rows, TOKENS[0]), generator=draws, dtype=torch.int32)
    return torch.randn(rows, *((sum(CODES),) if takes(name) == "codes" else pictures(name)), generator=draws)


@pytest.mark.parametrize("name", EACH)
def test_outputs_are_the_head_of_the_features(name):
    net = built(name).eval()
    x = inputs(name, 2)
    outputs = net(x)
    assert len(outputs) == 2 and (takes(name) in ("codes", "pairs") or outputs.shape == (2, OUTPUTS))
    torch.testing.assert_close(outputs, net.head(net.features(x)))


@pytest.mark.parametrize("name", EACH)
def test_every_parameter_learns(name):
    net = built(name).train()
    torch.nn.functional.cross_entropy(net(inputs(name, 8)).flatten(1), torch.arange(8) % OUTPUTS).backward()
    learning = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert learning
    for parameter_name, parameter in learning.items():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", EACH)
def test_answers_do_not_depend_on_the_rest_of_the_batch(name):
    net = built(name).eval()
    x = inputs(name, 4)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", EACH)
def test_a_model_rebuilds_the_same_net(name):
    net = built(name).eval()
    task = {"tokens": "text_classification", "pairs": "translation"}.get(takes(name), "image_classification")
    model = backend.wrap(net, task=task, assets={"image_shape": list(pictures(name))})
    with torch.no_grad():
        assert torch.equal(model.torch()(inputs(name, 2)), net(inputs(name, 2)))
    assert backend.wrap(model.torch(), task=task, assets=dict(model.assets)).digest == model.digest


@pytest.mark.parametrize("name", [one for one in EACH if takes_tokens(one.values[0])])
def test_what_fills_a_text_up_does_not_change_its_features(name):
    net = built(name).eval()
    x = inputs(name, 3)
    with torch.no_grad():
        filled = torch.cat([x, torch.zeros(3, 7, dtype=x.dtype)], 1)
        torch.testing.assert_close(net.features(filled), net.features(x))


@pytest.mark.parametrize("name", EACH)
def test_equal_seeds_build_equal_nets(name):
    assert backend.wrap(built(name)).digest == backend.wrap(built(name)).digest
