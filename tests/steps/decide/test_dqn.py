"""test_dqn: sums of rewards by their definition, targets in closed form, a ring that forgets the oldest."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import session
from lichen.core.errors import UsageError
from lichen.data import environments
from lichen.engine.decision import acting, policy
from lichen.engine.decision.replay import Replay
from lichen.engine.rollout import Stage
from lichen.steps.decide import dqn

DISCOUNT = 0.9


def ones(seen, step):
    taken = np.ones(len(seen), np.int64)
    return taken, taken


def rollout(name="worlds:NextStep", num_steps=23):
    stage = Stage(environments.look_at(name, {}, []), 3)
    stage.reset(1)
    return stage.rollout(ones, num_steps)


def by_definition(found, returns):
    """(reward, next, discount) of each row, walked step by step."""
    told = {}
    for copy in range(found.rewards.shape[1]):
        for start in range(len(found.rewards)):
            reward, factor = 0.0, 1.0
            for step in range(start, min(start + returns, len(found.rewards))):
                reward += factor * found.rewards[step, copy]
                factor *= DISCOUNT
                if found.ended[step, copy]:
                    break
            end = 0.0 if found.terminated[step, copy] else factor
            told[start, copy] = reward, found.nexts[step, copy], end
    return told


@pytest.mark.parametrize("name", ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled"])
@pytest.mark.parametrize("returns", [1, 3, 30])
def test_sums_of_rewards_stop_at_the_end_of_their_episode(name, returns):
    found = rollout(name)
    rewards, nexts, discounts = dqn.summed(found, returns, DISCOUNT)
    for (step, copy), (reward, after, discount) in by_definition(found, returns).items():
        if found.is_real[step, copy]:
            assert rewards[step, copy] == pytest.approx(reward)
            np.testing.assert_array_equal(nexts[step, copy], after)
            assert discounts[step, copy] == pytest.approx(discount)


def test_a_replay_holds_real_rows_alone_and_no_row_crosses_an_episode():
    kept = Replay.of(200, [3])
    dqn.remember(kept, rollout(), returns=1, discount=DISCOUNT)
    seen, nexts = kept.x_C2O[: kept.num_rows].unbind(1)
    assert (nexts - seen == torch.tensor([0.0, 0.0, 1.0])).all()
    assert kept.num_rows == rollout().is_real.sum()


def test_a_planted_row_that_crosses_an_episode_is_caught():
    found, kept = rollout(), Replay.of(200, [3])
    found.is_real[:] = True
    dqn.remember(kept, found, returns=1, discount=DISCOUNT)
    seen, nexts = kept.x_C2O[: kept.num_rows].unbind(1)
    assert not (nexts - seen == torch.tensor([0.0, 0.0, 1.0])).all()


class Table(torch.nn.Module):
    """The worth of two actions, said by what is seen: (a, b) -> (a, b) times a scale."""

    def __init__(self, scale, order):
        super().__init__()
        self.scale, self.order = scale, order

    def forward(self, x_BO):
        return x_BO[:, self.order] * self.scale


def test_targets_are_those_of_the_papers():
    """The net prefers action 1 where the copy prefers 0: only the double rule takes the copy's word for 1."""
    agent = dqn.Agent.__new__(dqn.Agent)
    torch.nn.Module.__init__(agent)
    agent.net, agent.copy = Table(1.0, [0, 1]), Table(10.0, [1, 0])
    x = torch.tensor([[[3.0, 4.0], [1.0, 2.0]]])
    y = torch.tensor([[0.0, 5.0, 0.5, 1.0]])
    plain = dqn.errors(agent, x, y, is_double=False)
    double = dqn.errors(agent, x, y, is_double=True)
    assert plain.item() == pytest.approx(3.0 - (5.0 + 0.5 * 20.0))
    assert double.item() == pytest.approx(3.0 - (5.0 + 0.5 * 10.0))


def test_priorities_are_found_a_few_rows_at_once_and_without_gradients(monkeypatch):
    asked = []

    class Counted(Table):
        def forward(self, x_BO):
            asked.append((len(x_BO), torch.is_grad_enabled()))
            return super().forward(x_BO)

    agent, kept = dqn.Agent(Counted(1.0, [0, 1])), Replay.of(20, [2])
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    kept.add(rows, rows + 1, np.zeros(20), np.ones(20), np.full(20, 0.5))
    goes = SimpleNamespace(measured_rows=lambda *told: told, taken=lambda *told: told)
    monkeypatch.setattr(acting, "AT_ONCE", 6)
    found = dqn.wrong(agent, goes, kept, np.arange(1, 20), is_double=True)
    assert not any(is_grad for _, is_grad in asked) and {num for num, _ in asked} == {6, 1}
    wanted = dqn.errors(agent, kept.x_C2O[1:], kept.y_CQ[1:], is_double=True)
    torch.testing.assert_close(found, wanted.abs())


def test_a_ring_forgets_the_oldest():
    kept = Replay.of(4, [1])
    for start in (0, 3):
        rows = np.arange(start, start + 3, dtype=np.float32)
        kept.add(rows[:, None], rows[:, None], rows, rows, rows)
    assert sorted(kept.y_CQ[:, 0].tolist()) == [2.0, 3.0, 4.0, 5.0]
    many = np.arange(9, dtype=np.float32)
    kept.add(many[:, None], many[:, None], many, many, many)
    assert sorted(kept.y_CQ[:, 0].tolist()) == [5.0, 6.0, 7.0, 8.0]


def test_rows_are_drawn_by_their_priority_and_weighed_by_its_inverse():
    kept = Replay.of(4, [1])
    rows = np.arange(4, dtype=np.float32)
    kept.add(rows[:, None], rows[:, None], rows, rows, rows)
    kept.priority_C[:] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    draws = np.random.default_rng(0)
    chosen, weights = kept.drawn(draws, (100, 400), 1.0)
    share = np.bincount(chosen.reshape(-1), minlength=4) / chosen.size
    np.testing.assert_allclose(share, [0.1, 0.2, 0.3, 0.4], atol=0.01)
    by_row = [float(weights[chosen == row].mean()) for row in range(4)]
    np.testing.assert_allclose(by_row, [1.0, 2**-0.5, 3**-0.5, 0.5], rtol=1e-5)
    assert (kept.drawn(draws, (2, 3), 0.0)[1] == 1).all()


@pytest.mark.parametrize(
    "options", [{}, {"is_dueling": True, "returns": 3, "priority": 0.6, "is_double": False}]
)
def test_it_learns_which_lamp_is_lit(options):
    with session.using(session.Session()):
        lamps = li.environment("worlds:Bandit")
        model = li.decide.dqn(
            lamps, num_steps=1024, num_envs=4, warmup=64, rate=5e-3, num_updates=16, **options
        )
        assert li.evaluate(model, lamps, episodes=40)["mean_return"] > 0.95
        assert model.options.get("head_kind") == ("dueling" if options else None)


def test_continuous_actions_are_refused_with_what_takes_them():
    push = environments.look_at("worlds:Push", {}, [])
    with pytest.raises(UsageError, match=r"continuous") as caught:
        policy.require_discrete(push, "decide.dqn", "decide.sac takes these")
    assert "decide.sac" in str(caught.value)


@pytest.mark.slow
def test_cart_pole_is_solved():
    with session.using(session.Session()):
        pole = li.environment("CartPole-v1")
        model = li.decide.dqn(pole, num_steps=30_000, goal=490.0, judge_every=1024)
        assert li.evaluate(model, pole)["mean_return"] >= 475
