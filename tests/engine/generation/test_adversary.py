"""Losses have their closed forms, and penalties those of a linear critic."""

import pytest
import torch
from torch.nn.functional import softplus

from lichen.engine.generation import adversary
from lichen.engine.generation.adversary import ADVERSARIES

REAL, MADE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.5, -3.0])


def test_minmax_is_the_game_of_the_first_paper():
    p_real, p_made = torch.sigmoid(REAL), torch.sigmoid(MADE)
    game = p_real.log().mean() + (1 - p_made).log().mean()
    found = ADVERSARIES["minmax"]
    torch.testing.assert_close(found.discriminator(REAL, MADE), -game)
    torch.testing.assert_close(found.generator(REAL, MADE), (1 - p_made).log().mean())
    torch.testing.assert_close(ADVERSARIES["nonsaturating"].generator(REAL, MADE), -p_made.log().mean())


def test_the_others_are_as_written():
    assert ADVERSARIES["hinge"].discriminator(REAL, MADE).item() == pytest.approx((2.2 + 1.5) / 3)
    assert ADVERSARIES["wasserstein"].discriminator(REAL, MADE).item() == pytest.approx((-3.5 - 1.8) / 3)
    found = ADVERSARIES["relativistic"]
    torch.testing.assert_close(found.discriminator(REAL, MADE), softplus(MADE - REAL).mean())
    torch.testing.assert_close(found.generator(REAL, MADE), softplus(REAL - MADE).mean())


@pytest.mark.parametrize("name", ADVERSARIES)
def test_a_generator_gains_by_better_answers_and_the_dying_loss_by_hardly_anything(name):
    made = torch.full((4,), -20.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(ADVERSARIES[name].generator(torch.full((4,), 20.0), made), made)
    assert (gradient <= 0).all()
    assert (gradient.abs().max() < 1e-6) == ADVERSARIES[name].dies


def test_penalties_of_a_linear_critic_are_those_of_its_slope():
    slope = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    length = slope.norm().item()

    def answers(x):
        return (x * slope).sum((1, 2, 3))

    real, made = torch.randn(2, 5, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    assert adversary.toward_one(answers, real, made).item() == pytest.approx((length - 1) ** 2, rel=1e-4)
    assert adversary.toward_zero(answers, real, made).item() == pytest.approx(length**2, rel=1e-4)


def test_a_penalty_is_learnt_from():
    weight = torch.tensor(3.0, requires_grad=True)
    x = torch.ones(2, 1, 1, 1)
    loss = adversary.toward_one(lambda x: weight * x.sum((1, 2, 3)), x, x)
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.item() == pytest.approx(2 * (3 - 1), rel=1e-4)
