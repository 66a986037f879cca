"""Layers follow the net from pixels to head, and rates and freezing follow them."""

import pytest
import torch
from torch import nn

from lichen.core.errors import OptionError
from lichen.engine.modules import architecture, layers
from lichen.engine.training import optimizers


@pytest.mark.parametrize("net", ["mlp", "cnn", "resnet20", "resnet18"])
def test_every_parameter_is_in_one_layer_and_the_head_is_last(net):
    module = architecture.build(net, {}, (3, 32, 32), 4)
    found = layers.layers(module)
    assert sorted(name for names in found for name in names) == sorted(dict(module.named_parameters()))
    assert found[-1] == ["head.weight", "head.bias"] and len(found) >= 3


def test_a_long_body_is_opened_and_norms_stay_with_their_convolution():
    module = nn.Sequential()
    blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(6)))
    module.add_module("body", nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), blocks))
    module.add_module("head", nn.Linear(4, 2))
    found = layers.layers(module)
    assert [len(names) for names in found] == [4, 4, 4, 4, 4, 4, 4, 2]


def test_the_rate_falls_from_layer_to_layer():
    module = architecture.build("resnet20", {}, (3, 8, 8), 4)
    optimizer = optimizers.build(module, name="adamw", rate=1.0, weight_decay=0.1, layer_decay=0.5)
    optimizers.set_rate(optimizer, 0.8)
    rates = optimizers.rates(module, optimizer)
    told = [rates[name] for name in ("conv1.weight", "layer1.0.conv1.weight", "layer2.0.bn1.bias",
                                     "layer3.1.conv2.weight", "head.weight")]  # fmt: skip
    assert told == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8])


def test_a_frozen_part_answers_as_in_use_while_the_rest_trains():
    body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False), nn.Dropout(0.5))
    module = nn.Module()
    module.body, module.middle, module.head = (
        body,
        nn.Sequential(nn.Linear(4, 4), nn.Dropout()),
        nn.Linear(4, 2),
    )
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    layers.set_modes(module)
    assert not body[1].training and not body[2].training and module.middle[1].training and module.training


def test_scopes_grow():
    counts = []
    for scope in ("none", "stem", "half", "body"):
        module = architecture.build("resnet20", {}, (3, 8, 8), 4)
        layers.freeze(module, scope)
        counts.append(sum(parameter.requires_grad for parameter in module.parameters()))
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 4 and counts[-1] == 2
    with pytest.raises(OptionError, match="did you mean `body`"):
        layers.freeze(torch.nn.Linear(2, 2), "bodi")


@pytest.mark.parametrize("scope", ["norms", "body"])
def test_norms_without_weights_of_their_own_keep_their_figures_too(scope):
    module = torch.nn.Sequential()
    module.add_module("conv", torch.nn.Conv2d(3, 4, 3))
    module.add_module("bn", torch.nn.BatchNorm2d(4, affine=False))
    module.add_module("flat", torch.nn.Flatten())
    module.add_module("head", torch.nn.Linear(16, 2))
    layers.freeze(module, scope)
    layers.set_modes(module)
    before = {name: tensor.clone() for name, tensor in module.named_buffers()}
    module(torch.randn(8, 3, 4, 4))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.named_buffers())
    layers.freeze(planted := torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False)), "none")
    layers.set_modes(planted)
    planted(torch.randn(8, 3, 4, 4))
    assert planted[0].num_batches_tracked == 1


def test_a_head_that_is_tied_to_the_tokens_is_the_head():
    module = architecture.build("seq2seq", {"depth": 2, "width": 32}, (8, 20), 0)
    found = layers.layers(module)
    assert module.head.weight is module.tokens.weight and found[-1] == ["tokens.weight"]
    assert sorted(name for names in found for name in names) == sorted(dict(module.named_parameters()))
    assert layers.scales(module, 0.5)["tokens.weight"] == 1.0
    layers.freeze(module, "body")
    assert [name for name, one in module.named_parameters() if one.requires_grad] == ["tokens.weight"]
