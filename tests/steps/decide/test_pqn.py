"""test_pqn: lambda-returns by their definition, also where episodes end, and learning without a replay."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import session
from lichen.data import environments
from lichen.engine.rollout import Stage
from lichen.steps.decide import pqn

DISCOUNT = 0.9


def rollout(name):
    def ones(seen, step):
        taken = np.ones(len(seen), np.int64)
        return taken, taken

    stage = Stage(environments.look_at(name, {}, []), 3)
    stage.reset(1)
    return stage.rollout(ones, 23)


def by_definition(found, best, trace):
    """The weighed mean of all n-step targets (Sutton and Barto 2018, equation 12.2), row by row."""
    told = np.zeros(found.rewards.shape)
    for copy in range(found.rewards.shape[1]):
        for start in range(len(told)):
            steps, total, factor = [], 0.0, 1.0
            for step in range(start, len(told)):
                total += factor * found.rewards[step, copy]
                factor *= DISCOUNT
                worth = 0.0 if found.terminated[step, copy] else best[step, copy]
                steps.append(total + factor * worth)
                if found.ended[step, copy]:
                    break
            last = len(steps) - 1
            told[start, copy] = (
                sum((1 - trace) * trace**n * steps[n] for n in range(last)) + trace**last * steps[-1]
            )
    return told


@pytest.mark.parametrize("name", ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled"])
@pytest.mark.parametrize("trace", [0.0, 0.65, 1.0])
def test_targets_are_lambda_returns_up_to_the_end_of_their_episode(name, trace):
    found = rollout(name)
    best = (2.0 + found.nexts[..., 1] + 0.3 * found.nexts[..., 2]).astype(np.float32)
    targets = pqn.targets(found, best, discount=DISCOUNT, trace=trace)
    wanted = by_definition(found, best, trace)
    np.testing.assert_allclose(targets[found.is_real], wanted[found.is_real], rtol=1e-5)


def test_rows_that_are_all_no_steps_teach_nothing():
    net = torch.nn.Linear(2, 2)
    told = pqn.loss(net, torch.rand(3, 2), torch.tensor([[1.0, 5.0, 0.0]] * 3))
    told.backward()
    assert told.item() == 0.0 and not net.weight.grad.any()


def test_it_learns_which_lamp_is_lit():
    with session.using(session.Session()):
        lamps = li.environment("worlds:Bandit")
        model = li.decide.pqn(lamps, num_envs=4, rate=2e-2, num_steps=2048)
        assert li.evaluate(model, lamps, episodes=40)["mean_return"] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_cart_pole_is_solved_and_kept_to_the_end_without_judging(seed):
    with session.using(session.Session()):
        pole = li.environment("CartPole-v1")
        model = li.decide.pqn(pole, num_steps=30_000, judge_episodes=0, seed=seed)
        assert li.evaluate(model, pole)["mean_return"] >= 475
