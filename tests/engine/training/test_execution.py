"""Frozen matrices are narrow while a run computes in halves: with the same bits, and then as they were."""

import pytest
import torch
from languages import drawn

from lichen.engine.training import execution
from lichen.engine.training.execution import Execution

HALVES = Execution(precision="bfloat16")


def net(**options):
    made = drawn(**options).torch()
    made.requires_grad_(False)
    made.norm.requires_grad_(True)
    return made


def test_what_is_frozen_is_narrow_meanwhile_and_says_the_same():
    module, x = net(is_tied=True), torch.randint(4, 260, (2, 12), dtype=torch.int32)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with HALVES.autocast("cpu"):
        wanted = module(x)
    with execution.in_force(HALVES, "cpu", module), HALVES.autocast("cpu"):
        query = module.blocks[0].attention.query.weight
        assert query.dtype == torch.bfloat16
        assert module.head.weight is module.tokens.weight and module.tokens.weight.dtype == torch.float32
        assert torch.equal(module(x), wanted)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert query.dtype == torch.float32


def test_what_learns_keeps_its_width_and_so_does_all_in_float32():
    module = net()
    module.blocks[0].mlp.up.requires_grad_(True)
    with execution.in_force(HALVES, "cpu", module):
        assert module.blocks[0].mlp.up.weight.dtype == torch.float32
        assert module.blocks[0].mlp.down.weight.dtype == torch.bfloat16
    with execution.in_force(Execution(), "cpu", module):
        assert module.blocks[0].mlp.down.weight.dtype == torch.float32


@pytest.mark.parametrize(("row_s", "num_steps", "chosen"), [(0.85, 90, "bfloat16"), (0.85, 3, "float32")])
def test_a_long_run_tries_halves_though_a_row_takes_long(monkeypatch, row_s, num_steps, chosen):
    """A row of many tokens takes a second; a run of minutes has time to ask, one of seconds has not."""

    class Planted:
        def __init__(self, *_given):
            pass

        def step(self, how, num_rows, repeats):
            took_s = row_s * num_rows * (0.5 if how.precision == "bfloat16" else 1.0)
            return execution._Step(took_s, took_s)

    both = [Execution(), HALVES]
    monkeypatch.setattr(execution, "_Probe", Planted)
    monkeypatch.setattr(execution, "_candidates", lambda *_given, **_named: both)
    monkeypatch.setattr(execution, "threads_help", lambda *_given: False)
    batch = torch.zeros(2, 512), torch.zeros(2)
    assert execution._fastest(net(), batch, None, "auto", num_steps).precision == chosen
