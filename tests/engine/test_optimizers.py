"""test_optimizers: the kernels are torch's; groups decay matrices only; rates are what they say."""

import pytest
import torch
from torch import nn

from lichen.core.errors import OptionError
from lichen.engine import optimizers


def pair():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))
        theirs = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_steps_equal_those_of_torch(name):
    ours, theirs = pair()
    mine = optimizers.build(ours, name=name, rate=0.01, weight_decay=0.1)
    groups = [{"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1},
              {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0}]  # fmt: skip
    kinds = {"sgd": lambda: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True),
             "adam": lambda: torch.optim.Adam(groups, lr=0.01),
             "adamw": lambda: torch.optim.AdamW(groups, lr=0.01)}  # fmt: skip
    reference = kinds[name]()
    x = torch.linspace(-1, 1, 20).reshape(4, 5)
    for _ in range(5):
        for module, optimizer in ((ours, mine), (theirs, reference)):
            module(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_only_matrices_decay():
    module, _ = pair()
    for group in optimizers.groups_of(module, weight_decay=0.1):
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])


def test_each_layer_has_its_real_rate():
    module = nn.Sequential()
    for name in ("stem", "body", "head"):
        module.add_module(name, nn.Linear(4, 4))
    optimizer = optimizers.build(module, name="sgd", rate=1.0, weight_decay=0.1, layer_decay=0.5)
    optimizers.set_rate(optimizer, 0.8)
    rates = optimizers.rates(module, optimizer)
    assert {name.partition(".")[0]: rate for name, rate in rates.items()} == {
        "stem": 0.2,
        "body": 0.4,
        "head": 0.8,
    }


def test_frozen_parameters_are_left_out_and_nothing_to_train_is_refused():
    module, _ = pair()
    module[0].requires_grad_(False)
    count = sum(len(group["params"]) for group in optimizers.groups_of(module, weight_decay=0.0))
    assert count == 4
    module.requires_grad_(False)
    with pytest.raises(OptionError, match="frozen"):
        optimizers.build(module, name="sgd", rate=0.1, weight_decay=0.0)


def test_the_usual_way_per_row_does_not_grow_with_small_batches():
    rates = [optimizers.usual_rate("sgd", size) for size in (8, 16, 32, 64, 128)]
    assert [rate / size for rate, size in zip(rates[:3], (8, 16, 32))] == [0.05 / 32] * 3
    assert rates[2:] == [0.05] * 3
    assert optimizers.usual_rate("adamw", 8) == optimizers.usual_rate("adamw", 128)
