"""test_optimizers: kernels are torch's; matrices alone decay; rates are what they say, per step or row."""

import pytest
import torch
from torch import nn

from lichen.core.errors import OptionError
from lichen.engine.modules import architecture
from lichen.engine.training import muon, optimizers, treatments


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
    for group in optimizers.build(module, name="sgd", rate=0.1, weight_decay=0.1).param_groups:
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
    optimizer = optimizers.build(module, name="sgd", rate=0.1, weight_decay=0.0)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4
    module.requires_grad_(False)
    with pytest.raises(OptionError, match="frozen"):
        optimizers.build(module, name="sgd", rate=0.1, weight_decay=0.0)


def test_the_usual_way_per_row_does_not_grow_with_small_batches():
    rates = [treatments.usual_rate("sgd", size) for size in (8, 16, 32, 64, 128)]
    assert [rate / size for rate, size in zip(rates[:3], (8, 16, 32))] == [0.05 / 32] * 3
    assert rates[2:] == [0.05] * 3
    assert treatments.usual_rate("adamw", 8) == treatments.usual_rate("adamw", 128)


def names_by_rate(module, optimizer):
    return {name: round(rate, 9) for name, rate in optimizers.rates(module, optimizer).items()}


def test_biases_and_the_head_have_their_own_rates():
    module = architecture.build("mlp", {"width": 4, "depth": 1}, (1, 2, 2), 3)
    optimizer = optimizers.build(module, name="sgd", rate=0.1, weight_decay=0.1, bias_rate=6.4, head_rate=0.3)
    optimizers.set_rate(optimizer, 0.05)
    assert names_by_rate(module, optimizer) == {
        "body.1.weight": 0.05, "body.1.bias": 3.2, "head.weight": 0.15, "head.bias": 3.2,
    }  # fmt: skip


def test_muon_steps_hidden_matrices_and_sgd_the_rest():
    module = architecture.build("mlp", {"width": 4, "depth": 2}, (1, 2, 2), 3)
    optimizer = optimizers.build(module, name="muon", rate=0.1, weight_decay=0.2, head_rate=0.3)
    orthogonal = {
        name for name, parameter in module.named_parameters() for group in optimizer.param_groups
        if group["is_orthogonal"] and any(parameter is own for own in group["params"])
    }  # fmt: skip
    assert orthogonal == {"body.1.weight", "body.3.weight"}
    assert [group["weight_decay"] for group in optimizer.param_groups if not group["is_orthogonal"]] == [0, 0]
    assert names_by_rate(module, optimizer)["head.bias"] == 0.05  # what SGD usually has


def test_beside_muon_adamw_steps_tables_the_head_and_vectors():
    module = architecture.build("gpt", {"depth": 1, "width": 8, "num_heads": 1}, (4, 12), 0)
    optimizer = optimizers.build(
        module, name="muon_adamw", rate=0.1, weight_decay=0.2, head_rate=0.3, table_rate=0.4
    )
    rates = names_by_rate(module, optimizer)
    assert rates["tokens.weight"] == 0.4 and rates["head.weight"] == 0.3 and rates["norm.weight"] == 0.01
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    for name, parameter in module.named_parameters():
        gone = before[name] - parameter.detach()
        if name in ("tokens.weight", "head.weight", "norm.weight"):  # Adam's first step is the rate itself
            torch.testing.assert_close(gone, torch.full_like(gone, rates[name]), rtol=1e-4, atol=1e-5)
    up = before["blocks.0.mlp.up.weight"]
    expected = up * (1 - 0.1 * 0.2) - 0.1 * muon.direction(torch.ones_like(up))
    torch.testing.assert_close(module.blocks[0].mlp.up.weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_step_of_muon_is_its_closed_form():
    module = nn.Sequential(nn.Conv2d(2, 6, 2, bias=False))
    before = module[0].weight.detach().clone()
    optimizer = optimizers.build(module, name="muon", rate=0.1, weight_decay=0.5, momentum=0.6)
    gradient = torch.randn(6, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    module[0].weight.grad = gradient.clone()
    optimizer.step()
    # The first step's direction is that of 1.6 times the gradient, so that of the gradient.
    expected = before * (1 - 0.1 * 0.5) - 0.1 * muon.direction(gradient)
    torch.testing.assert_close(module[0].weight.detach(), expected)


def test_fixed_norms_are_those_of_orthogonal_matrices_before_each_step():
    module = nn.Sequential(nn.Conv2d(2, 6, 2, bias=False))
    before = module[0].weight.detach().clone()
    optimizer = optimizers.build(
        module, name="muon", rate=0.1, weight_decay=0.5, momentum=0.6, hidden_norm="fixed"
    )
    gradient = torch.randn(6, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    module[0].weight.grad = gradient.clone()
    optimizer.step()
    expected = before * (6**0.5 / before.norm()) - 0.1 * muon.direction(gradient)
    torch.testing.assert_close(module[0].weight.detach(), expected)
    with pytest.raises(OptionError, match="only muon"):
        optimizers.build(module, name="sgd", rate=0.1, weight_decay=0.0, hidden_norm="fixed")


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon", "muon_adamw"])
def test_counted_per_row_neither_batch_nor_momentum_changes_how_far_weights_go(name):
    """Constant gradients, and then none until all momentum is spent."""

    def moved(batch_size, momentum):
        module = nn.Sequential(nn.Linear(3, 3, bias=False))
        with torch.no_grad():
            module[0].weight.copy_(torch.eye(3))
        optimizer = optimizers.build(
            module, name=name, rate=0.01, weight_decay=0.0, momentum=momentum,
            unit=batch_size / treatments.UNIT_ROWS,
        )  # fmt: skip
        num_steps = 8192 // batch_size
        for step in range(num_steps + (400 if name == "sgd" else 0)):
            module[0].weight.grad = torch.eye(3) if step < num_steps else torch.zeros(3, 3)
            optimizer.step()
        return module[0].weight.detach()

    plain = moved(1024, 0.0)
    for batch_size, momentum in ((256, 0.0), (1024, 0.9), (128, 0.6)):
        torch.testing.assert_close(moved(batch_size, momentum), plain, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain, torch.eye(3))


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon", "muon_adamw"])
def test_counted_per_row_decay_does_not_depend_on_the_rate(name):
    def shrunk(rate):
        module = nn.Sequential(nn.Linear(3, 3, bias=False))
        start = module[0].weight.detach().clone()
        optimizer = optimizers.build(module, name=name, rate=rate, weight_decay=0.01, momentum=0.0, unit=0.25)
        for _ in range(40):
            module[0].weight.grad = torch.zeros(3, 3)
            optimizer.step()
        return (module[0].weight.detach() / start).mean().item()

    assert shrunk(0.1) == pytest.approx((1 - 0.01 / 4) ** 40, rel=1e-4)
    assert shrunk(0.4) == pytest.approx(shrunk(0.1), rel=1e-5)
