"""test_ppo: advantages by their definition, no bootstrap over an end, and learning of what can be learnt."""

from functools import partial

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import session
from lichen.data import environments
from lichen.engine.rollout import Stage
from lichen.steps.decide import ppo

SMALL = {"num_steps": 512, "num_envs": 4, "horizon": 32, "num_epochs": 2, "batch_size": 64}
DISCOUNT = 0.9


def ones(seen, step):
    taken = np.ones(len(seen), np.int64)
    return taken, taken


def by_definition(rollout, worth, trace):
    """Advantages episode by episode, forward sums of surprises, in float64."""
    found = np.zeros(rollout.rewards.shape)
    for copy in range(rollout.rewards.shape[1]):
        for start in range(len(found)):
            factor = 1.0
            for step in range(start, len(found)):
                follows = 0.0 if rollout.terminated[step, copy] else worth(rollout.nexts[step, copy])
                surprise = rollout.rewards[step, copy] + DISCOUNT * follows - worth(rollout.seen[step, copy])
                found[start, copy] += factor * surprise
                factor *= DISCOUNT * trace
                if rollout.ended[step, copy]:
                    break
    return found


def values_of(rollout, worth):
    return [np.apply_along_axis(worth, -1, rows).astype(np.float32) for rows in (rollout.seen, rollout.nexts)]


@pytest.mark.parametrize("name", ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled"])
@pytest.mark.parametrize("trace", [0.0, 0.8, 1.0])
def test_advantages_are_sums_of_surprises_up_to_the_end_of_their_episode(name, trace):
    stage = Stage(environments.look_at(name, {}, []), 3)
    stage.reset(1)
    rollout = stage.rollout(ones, 23)
    worth = lambda seen: 3.0 + seen[1] + 0.5 * seen[2]  # noqa: E731
    found = ppo.advantages(rollout.rewards, *values_of(rollout, worth), rollout.terminated, rollout.ended,
                           discount=DISCOUNT, trace=trace)  # fmt: skip
    wanted = by_definition(rollout, worth, trace)
    np.testing.assert_allclose(found[rollout.is_real], wanted[rollout.is_real], rtol=1e-5)


def known_targets(kind):
    """Targets of the first steps of a short episode, which terminates, and a long one, which is cut off."""
    stage = Stage(environments.look_at("worlds:SameStep", {}, []), 1)
    stage.reset(1)
    rollout = stage.rollout(ones, 8)
    values, nexts = values_of(rollout, lambda seen: 100.0)
    terminated, ended = rollout.terminated, rollout.ended
    if kind == "cut off counts as terminated":
        terminated = ended
    if kind == "terminated counts as cut off":
        terminated = np.zeros_like(ended)
    if kind == "episodes run into each other":
        ended = np.zeros_like(ended)
    found = ppo.advantages(rollout.rewards, values, nexts, terminated, ended, discount=DISCOUNT, trace=1.0)
    targets = (found + values)[:, 0]
    return float(targets[0]), float(targets[3])


SHORT = 2 + 4 * 0.9 + 6 * 0.81
LONG = SHORT + 8 * 0.9**3 + 10 * 0.9**4 + 100 * 0.9**5


def test_what_was_cut_off_is_worth_what_the_critic_says_and_what_terminated_is_worth_nothing():
    assert known_targets("as it is") == pytest.approx((SHORT, LONG))


@pytest.mark.parametrize(
    "defect",
    ["cut off counts as terminated", "terminated counts as cut off", "episodes run into each other"],
)
def test_planted_mistakes_about_ends_give_other_targets(defect):
    assert known_targets(defect) != pytest.approx((SHORT, LONG))


def learnt(environment, **options):
    with session.using(session.Session()):
        return li.decide.ppo(environment, **{**SMALL, **options})


def environment(*args, **options):
    with session.using(session.Session()):
        return li.environment(*args, **options)


def played(model, world):
    with session.using(session.Session()):
        return li.evaluate(model, world, episodes=40)


def test_it_learns_which_lamp_is_lit():
    lamps = environment("worlds:Bandit")
    assert played(learnt(lamps, num_steps=2048, num_epochs=8, rate=5e-3), lamps)["mean_return"] > 0.95


def test_it_learns_to_push_towards_the_middle_and_keeps_its_normaliser():
    push = environment("worlds:Push")
    model = learnt(push, num_steps=4096, num_epochs=8, rate=5e-3, normalise=True)
    assert len(model.assets["mean"]) == 1 and model.assets["reward_scale"] > 0
    before = learnt(push, num_steps=128, num_epochs=1, rate=1e-6)
    assert played(model, push).value > 0.6 * played(before, push).value


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    lamps = environment("worlds:Bandit")
    assert learnt(lamps).digest == learnt(lamps).digest != learnt(lamps, seed=1).digest


def test_a_rollout_without_surprises_moves_the_policy_less_than_one_with():
    """In its own spread it would be as long: that led policies away which earned all there is."""
    agent = ppo.ActorCritic(environment("worlds:Bandit"), "mlp", {}, 0)
    draws, real = np.random.default_rng(0), np.ones((50, 4), bool)
    wild = draws.standard_normal((50, 4)).astype(np.float32)
    assert agent.normal(wild, real).std() == pytest.approx(1.0, rel=1e-3)
    assert agent.normal(wild / 1000, real).std() < 0.002
    for _ in range(300):
        last = agent.normal(wild / 1000, real)
    assert last.std() == pytest.approx(1.0, rel=0.01)


def test_rows_of_weight_zero_teach_nothing():
    agent = ppo.ActorCritic(environment("worlds:Bandit"), "mlp", {}, 0)
    goal = partial(ppo.loss, agent, entropy=0.1, value_weight=0.5)
    x, ones = torch.rand(8, 2), torch.ones(8, 1)
    y = torch.cat([ones, torch.randn(8, 3), ones, 0.2 * ones], 1)
    y[4:, -2] = 0.0
    other = y.clone()
    other[4:, :-2] = 1.0
    assert goal(x, y).item() == goal(x, other).item()
    assert goal(x, y).item() == pytest.approx(goal(x[:4], y[:4]).item())
    assert goal(x[4:], y[4:]).item() == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_cart_pole_is_solved(seed):
    pole = environment("CartPole-v1")
    with session.using(session.Session()):
        model = li.decide.ppo(pole, goal=490.0, judge_every=1024, num_steps=50_000, seed=seed)
        assert li.evaluate(model, pole)["mean_return"] >= 475
