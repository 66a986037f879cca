"""test_lookahead: every k steps the weights are half-way from where they were, and between them untouched."""

import torch
from torch import nn

from lichen.engine.training.lookahead import Lookahead


def net(value=0.0):
    module = nn.Linear(2, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)
    return module


def walked(num_steps, every, last=None):
    """A weight that each step moves on by 1."""
    module = net()
    lookahead = Lookahead(module, every)
    path = []
    for step in range(1, num_steps + 1):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 1.0
        lookahead.update(step, is_last=step == last)
        path.append(module.weight[0, 0].item())
    return path


def test_the_path_is_the_closed_form():
    assert walked(6, every=3) == [1.0, 2.0, 1.5, 2.5, 3.5, 3.0]


def test_the_last_step_counts_wherever_it_falls():
    assert walked(4, every=3, last=4)[-1] == 2.0


def test_frozen_weights_have_no_slow_ones():
    module = net()
    module.weight.requires_grad_(False)
    assert Lookahead(module, 2).tensors.keys() == {"bias"}
