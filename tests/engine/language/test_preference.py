"""The loss of preferences is its closed form, log 2 at first, and does not depend on what lies beside."""

import math

import numpy as np
import pytest
import torch
from languages import drawn

from lichen.data.tokenizer import PAD
from lichen.engine.language import preference
from lichen.engine.language.preference import Rule
from lichen.engine.training import telling
from lichen.engine.training.execution import Execution


def rows(num=4, length=40, seed=0):
    """Rows of two pairs of answers, the last row of one."""
    draws = np.random.default_rng(seed)
    made = np.zeros((num, 3, length), np.int32)
    for row in range(num):
        for place in range(4 if row < num - 1 else 2):
            start, size = 10 * place, int(draws.integers(5, 11))
            numbers = draws.integers(4, 260, size)
            made[row, 0, start : start + size] = numbers
            made[row, 0, start] = ~made[row, 0, start]
            made[row, 1, start + 2 : start + size] = draws.integers(4, 260, size - 2)
            made[row, 2, start : start + size] = place + 1
    return made


def chance(module, part):
    """log p of one answer by itself, off all logits."""
    read, told = torch.from_numpy(part[0])[None], torch.from_numpy(part[1]).long()
    logs = torch.log_softmax(module(read)[0], -1)
    return logs[torch.arange(len(told)), told][told != PAD].double()


def closed(module, first_module, made, beta, by_length):
    """Equation 7, answer by answer."""
    losses = []
    for row in made:
        for pair in range(row[2].max() // 2):
            rewards = []
            for side in (1, 2):
                part = row[:, row[2] == 2 * pair + side]
                now, then = chance(module, part), chance(first_module, part)
                ratio = (now - then).mean() if by_length else (now - then).sum()
                rewards.append(beta * ratio)
            losses.append(-math.log(1 / (1 + math.exp(-(rewards[0] - rewards[1])))))
    return losses


def nets(seed=0):
    torch.manual_seed(seed)
    first, module = drawn(max_tokens=40).torch(), drawn(max_tokens=40).torch()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return first, module


@pytest.mark.parametrize("tokens", [1024, 40])
@pytest.mark.parametrize(("beta", "by_length"), [(0.1, False), (2.0, True)])
@torch.no_grad()
def test_the_loss_is_its_closed_form(monkeypatch, beta, by_length, tokens):
    monkeypatch.setattr(telling, "MOST_TOKENS", tokens)
    made, rule = rows(), Rule(beta=beta, by_length=by_length, most=2)
    before, module = nets()
    found = preference.first(before, made, rule, chosen=Execution(), device="cpu")
    wanted = closed(module, before, made, beta, by_length)
    loss = rule.objective(module, torch.from_numpy(made), found)
    assert len(wanted) == 7 and loss.item() == pytest.approx(np.mean(wanted), rel=1e-4)
    said = preference.judge(made, found, rule, device="cpu").measure(module)
    assert said["preference_loss"] == pytest.approx(np.mean(wanted), rel=1e-4)
    assert said["preference_accuracy"] == np.mean(np.array(wanted) < math.log(2))


@pytest.mark.parametrize("by_length", [False, True])
def test_at_first_it_is_log_2_and_its_gradient_goes_to_the_chosen(by_length):
    made, rule = rows(), Rule(beta=0.5, by_length=by_length, most=2)
    module, _ = nets()
    found = preference.first(module, made, rule, chosen=Execution(), device="cpu")
    loss = rule.objective(module, torch.from_numpy(made), found)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    said = preference.judge(made, found, rule, device="cpu").measure(module)
    assert said["margin"] == pytest.approx(0, abs=1e-5)
    loss.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-3 * parameter.grad / parameter.grad.norm().clamp(min=1e-9))
    after = preference.judge(made, found, rule, device="cpu").measure(module)
    assert after["margin"] > 0 and after["preference_loss"] < math.log(2)


def test_parts_have_the_gradient_of_the_whole(monkeypatch):
    made, rule = rows(), Rule(beta=0.5, by_length=False, most=2)
    before, module = nets()
    found, gradients = preference.first(before, made, rule, chosen=Execution(), device="cpu"), []
    for tokens in (1024, 40):
        monkeypatch.setattr(telling, "MOST_TOKENS", tokens)
        module.zero_grad()
        rule.objective(module, torch.from_numpy(made), found).backward()
        gradients.append([own.grad.clone() for own in module.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-7)


def test_equal_rewards_are_half_right():
    said = preference.figures(torch.tensor([0.0, 1.0, -1.0, 2.0]))
    assert said["preference_accuracy"] == 0.625 and said["margin"] == 0.5
