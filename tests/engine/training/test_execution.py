"""Frozen matrices are narrow while a run computes in halves: with the same bits, and then as they were."""

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
