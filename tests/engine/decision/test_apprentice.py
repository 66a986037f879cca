"""test_apprentice: when and how long an agent is judged, what one step of it is, what other scales change."""

import math

import numpy as np
import pytest
import torch
from quiet import Quiet
from torch import nn

from lichen.data import environments
from lichen.engine.decision import apprentice
from lichen.engine.decision.apprentice import Fell, Plan
from lichen.engine.decision.scales import Scales
from lichen.engine.training.gradient import Gradient


def practice_of(net, *, num_envs=2, own_scales=None, **plan):
    told = {"num_steps": 64, "round_steps": 8, "rate": 0.01, **plan}
    world = environments.look_at("worlds:NextStep", {}, [])
    return apprentice.begin(net, world, num_envs, Plan(**told), greedy=zeros, run=Quiet(), scales=own_scales)


def zeros(seen_NO):
    return np.zeros(len(seen_NO), np.int64)


def squares(net):
    return Gradient(lambda x, y: (net(x)[:, 0] - y).square().mean(), list(net.parameters()), 0)


@pytest.mark.parametrize(("num_steps", "rounds"), [(1, 1), (8, 1), (9, 2), (64, 8)])
def test_the_last_round_is_made_whole(num_steps, rounds):
    assert Plan(num_steps=num_steps, round_steps=8, rate=0.1).num_rounds == rounds


@pytest.mark.parametrize(
    ("num_envs", "horizon", "steps_of_each"),
    [(1, 8, 65536), (8, 32, 8192), (16, 256, 4096), (128, 32, 4096), (128, 5000, 5000)],
)
def test_a_leg_is_thousands_of_steps_of_each_copy_however_many_there_are(num_envs, horizon, steps_of_each):
    practice = practice_of(nn.Linear(3, 2), num_envs=num_envs, round_steps=num_envs * horizon)
    assert practice.leg_rounds * horizon == steps_of_each


@pytest.mark.parametrize("round_steps", [3, 8, 40, 100])
def test_it_is_judged_once_per_stretch_of_steps_and_at_the_end(round_steps):
    plan = Plan(num_steps=400, round_steps=round_steps, rate=0.1, judge_episodes=2, judge_every=40)
    judged = [done for done in range(1, plan.num_rounds + 1) if plan.is_judged(done)]
    first = [
        math.ceil(stretch * 40 / round_steps) for stretch in range(1, plan.num_rounds * round_steps // 40 + 1)
    ]
    assert judged == sorted({*first, plan.num_rounds})
    never = Plan(num_steps=400, round_steps=round_steps, rate=0.1)
    assert not any(never.is_judged(done) for done in range(1, never.num_rounds + 1))


def test_the_first_step_is_adams_at_the_rate_of_the_schedule():
    """Adam's first step is the rate in each direction, however long the gradient (Kingma and Ba 2015)."""
    net = nn.Linear(3, 1)
    practice = practice_of(net, rate=0.02, schedule="linear")
    practice.trainee.counters["step"] = 2
    before = net.weight.detach().clone()
    x, y = torch.randn(8, 3), torch.full((8,), 5.0)
    wanted = (net(x)[:, 0] - y).square().mean().item()
    assert practice.descend(squares(net), x, y) == pytest.approx(wanted, rel=1e-5)
    assert practice.rate == pytest.approx(0.02 * 0.75) and practice.share == 0.25
    moved = (net.weight.detach() - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.015), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("x", "y"), [(math.nan, 1.0), (1e30, 1e30), (1.0, math.inf)])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_what_is_no_number_changes_no_weight_and_leaves_no_gradient(x, y, clip):
    net = nn.Linear(3, 1)
    practice = practice_of(net, clip=clip)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    with pytest.raises(Fell) as fell:
        practice.descend(squares(net), torch.full((4, 3), x), torch.full((4,), y))
    assert not math.isfinite(fell.value.loss)
    for parameter, was in zip(net.parameters(), before, strict=True):
        assert torch.equal(parameter, was) and (parameter.grad is None or not parameter.grad.any())


def test_episodes_that_end_are_counted_and_told_as_the_environment_tells_them():
    """Action 1 earns 2, 4, 6 in a short episode of `worlds`; scales change what is seen, not what is told."""
    told = []
    for is_scaled in (False, True):
        world = environments.look_at("worlds:NextStep", {}, [])
        own = Scales(world, 2, 0.9) if is_scaled else None
        practice = practice_of(nn.Linear(3, 2), own_scales=own)
        practice.stage.reset(3)
        for _ in range(2):
            told.append(practice.act(lambda seen_NO, step: (np.ones(len(seen_NO), np.int64),) * 2, 12))
        assert practice.counted[0][0][:2] == [12.0, 12.0] and practice.counted[0][1][:2] == [3, 3]
        practice.stage.close()
    for plain, scaled in zip(told[:2], told[2:], strict=True):
        assert (plain.returns, plain.lengths) == (scaled.returns, scaled.lengths)
        assert np.array_equal(plain.seen, scaled.seen) and np.array_equal(plain.rewards, scaled.rewards)
    assert not np.array_equal(practice.measured(told[3]).rewards, told[3].rewards)
    assert practice_of(nn.Linear(3, 2)).measured(told[0]) is told[0]


def test_nothing_is_earned_yet_where_every_copy_begins_anew():
    own = Scales(environments.look_at("worlds:NextStep", {}, []), 2, 0.9)
    practice = practice_of(nn.Linear(3, 2), own_scales=own)
    practice.begin_anew(3)
    practice.act(lambda seen_NO, step: (np.ones(len(seen_NO), np.int64),) * 2, 2)
    assert own.earned.sums.all()
    practice.begin_anew(4)
    assert not own.earned.sums.any() and practice.stage.copies.observations[:, 2].tolist() == [0.0, 0.0]


def test_equal_rounds_draw_equal_numbers_and_others_do_not():
    practice, same = practice_of(nn.Linear(3, 2), seed=4), practice_of(nn.Linear(3, 2), seed=4)
    first, again = (one.draws().random(3) for one in (practice, same))
    practice.trainee.counters["step"] = 1
    assert np.array_equal(first, again) and not np.array_equal(first, practice.draws().random(3))


EARNED = 12.0
"""Of the first episode of a corridor by action 1: 2 + 4 + 6."""


def judged(monkeypatch, goal, episodes=40):
    """Returns, and the seeds that were played on."""
    world, seeds, reset = environments.look_at("worlds:Corridor", {}, []), [], environments.Copies.reset

    def told(copies, seed):
        seeds.extend(range(seed, seed + copies.num))
        reset(copies, seed)

    monkeypatch.setattr(environments.Copies, "reset", told)
    plan = Plan(num_steps=1, round_steps=1, rate=0.1, judge_episodes=episodes, goal=goal)
    returns = apprentice._judged(world, plan, lambda seen: np.ones(len(seen), np.int64), 7)
    return returns.tolist(), seeds


@pytest.mark.parametrize(("goal", "num_played"), [(None, 40), (EARNED + 1, 10), (EARNED, 40), (-5.0, 40)])
def test_few_episodes_are_played_where_the_goal_is_far(monkeypatch, goal, num_played):
    returns, seeds = judged(monkeypatch, goal)
    assert returns == [EARNED] * num_played
    first = environments.seed_of("train", 7)
    assert seeds == list(range(first, first + num_played))


def test_a_few_episodes_are_played_at_once(monkeypatch):
    assert judged(monkeypatch, EARNED + 1, episodes=8)[0] == [EARNED] * 8
