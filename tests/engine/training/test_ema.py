"""The average is that of the weights step by step, also of a matrix that two layers share."""

import torch
from torch import nn

from lichen.engine.training.ema import Average
from lichen.engine.training.trainee import Trainee


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x):
        return self.head(self.norm(self.tokens(x)))


def test_both_names_of_a_shared_matrix_have_its_average():
    torch.manual_seed(0)
    module, start = Tied(), 10
    average = Average(module, 0.9)
    expected = module.tokens.weight.detach().clone()
    for step in range(start, start + 300):
        with torch.no_grad():
            module.tokens.weight.normal_()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.tokens.weight.detach()
        average.update(step)
    for name in ("tokens.weight", "head.weight"):
        torch.testing.assert_close(average.tensors[name], expected, rtol=1e-4, atol=1e-5)
    trained = Trainee(module, torch.optim.SGD(module.parameters(), 0.1), average, None)
    last = module.tokens.weight.detach().clone()
    with trained.answering() as answering:
        torch.testing.assert_close(answering.head.weight, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(module.head.weight, last)
    trained.settle()
    torch.testing.assert_close(module.tokens.weight, expected, rtol=1e-4, atol=1e-5)


def test_running_figures_are_copied_and_what_is_frozen_has_no_average():
    module = Tied()
    module.tokens.weight.requires_grad_(False)
    average = Average(module, 0.99)
    module.norm.running_mean.fill_(7.0)
    average.update(1)
    assert (average.tensors["norm.running_mean"] == 7).all()
    assert not {"tokens.weight", "head.weight"} & average.tensors.keys()
