"""What training changes is kept and put back bit by bit; what is frozen costs nothing."""

import torch
from torch import nn

from lichen.engine.training import optimizers
from lichen.engine.training.ema import Average
from lichen.engine.training.trainee import Trainee


def net():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(50, 50), nn.BatchNorm1d(50), nn.Linear(50, 3))
    made[0].requires_grad_(False)
    return made


def trainee(module, decay=None):
    optimizer = optimizers.build(module, name="adamw", rate=0.1, weight_decay=0.0)
    return Trainee(module, optimizer, Average(module, decay) if decay else None, None)


def moved(made, steps=2):
    for _ in range(steps):
        made.module.train()
        made.module(torch.randn(8, 50)).square().sum().backward()
        made.optimizer.step()
        made.optimizer.zero_grad()
        made.counters["step"] += 1
        if made.average:
            made.average.update(made.step)


def test_a_snapshot_holds_no_frozen_number():
    made = trainee(net(), decay=0.9)
    moved(made)
    made.keep_best(1.0, 1)
    _, tensors = made.snapshot()
    assert not any("0.weight" in name or "0.bias" in name for name in tensors)
    assert {"net.1.running_mean", "net.2.weight", "average.2.weight", "best.2.weight"} <= tensors.keys()
    whole = sum(tensor.numel() for tensor in made.module.state_dict().values())
    assert sum(tensor.numel() for tensor in tensors.values()) < whole


def test_everything_that_moved_is_put_back_also_what_is_frozen_meanwhile():
    made = trainee(net(), decay=0.9)
    moved(made)
    made.module[2].requires_grad_(False)  # as layers that join later are
    kept = made.snapshot()
    before = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    made.module[2].requires_grad_(True)
    moved(made)
    made.restore(*kept)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.module.state_dict().items())
    assert made.step == 2
    again = made.snapshot()[1]
    assert again.keys() == kept[1].keys() and all(torch.equal(kept[1][name], again[name]) for name in again)


def test_what_answers_and_what_is_left_is_the_average_beside_the_frozen_part():
    made = trainee(net(), decay=0.9)
    frozen = made.module[0].weight.clone()
    moved(made)
    plain = made.module[2].weight.detach().clone()
    with made.answering() as module:
        assert torch.equal(module[2].weight, made.average.tensors["2.weight"])
        assert torch.equal(module[0].weight, frozen) and not torch.equal(module[2].weight, plain)
    assert torch.equal(made.module[2].weight, plain)
    made.settle()
    assert torch.equal(made.module[2].weight, made.average.tensors["2.weight"])
