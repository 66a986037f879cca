"""test_episodes: a policy's return is that of whole episodes, one per copy, on the seeds of its split."""

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.data import environments
from lichen.engine import rollout
from lichen.engine.decision import episodes, policy
from lichen.engine.modules import backend


def world(name):
    return environments.look_at(name, {}, [])


def always(name, action, seed=0):
    """A policy of an environment that does one thing, whatever it sees."""
    here = world(name)
    net = policy.net("mlp", {"width": 4}, here, 2, seed=seed)
    for parameter in net.parameters():
        parameter.data.zero_()
    net.head.bias.data[action] = 1.0
    return policy.model_of(net, here)


@pytest.mark.parametrize("name", ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled", "worlds:Corridor"])
@pytest.mark.parametrize("action", [0, 1])
def test_returns_are_those_of_the_first_episode_of_every_copy(name, action):
    found, lengths = episodes.play(always(name, action), world(name), "validation", 7)
    assert found.tolist() == [6.0 * (1 + action)] * 7 and lengths.tolist() == [3] * 7


def test_more_episodes_than_copies_are_played_in_turns_on_other_seeds(monkeypatch):
    monkeypatch.setattr(episodes, "MOST_COPIES", 4)
    found, _ = episodes.play(always("CartPole-v1", 1), world("CartPole-v1"), "validation", 10)
    assert len(found) == 10 and len({tuple(found[:4]), tuple(found[4:8])}) == 2


def test_the_interquartile_mean_leaves_out_the_ends():
    values = np.array([[0.0, 1, 2, 3, 4, 5, 6, 1000]])
    assert episodes.interquartile(values)[0] == pytest.approx(3.5)
    assert episodes.mean(values)[0] == pytest.approx(127.625)


def test_scores_are_equal_for_equal_splits_and_intervals_hold_them():
    model, here = always("CartPole-v1", 0), world("CartPole-v1")
    first, again, test = (episodes.score(model, here, split, 30) for split in ("validation",) * 2 + ("test",))
    assert first.digest == again.digest
    assert not np.array_equal(first.answers()["outcome"].numpy(), test.answers()["outcome"].numpy())
    for entry in first.metrics.values():
        assert entry["low"] <= entry["value"] <= entry["high"]


def test_an_opening_of_test_is_counted_and_learning_from_it_refused(tmp_path):
    from lichen.core import tally
    from lichen.core.errors import OptionError

    with session.opened(tmp_path / ".lichen") as here:
        lamps = li.environment("worlds:Bandit")
        model = li.decide.reinforce(lamps, num_steps=64, num_envs=2, horizon=16)
        li.evaluate(model, lamps, episodes=5)
        assert tally.times_opened(model, here) == 0
        li.evaluate(model, lamps, split="test", episodes=5)
        assert tally.times_opened(model, here) == 1
        with pytest.raises(OptionError, match="metric"):
            li.evaluate(model, lamps, metric=lambda outputs, targets: 0.0)


def test_an_episode_that_never_ends_is_told(monkeypatch):
    monkeypatch.setattr(rollout, "LONGEST", 20)
    here = environments.look_at("Pendulum-v1", {}, [], 50)
    net = policy.net("mlp", {"width": 4}, here, 1, seed=0)
    with pytest.raises(Exception, match="must end"):
        episodes.play(policy.model_of(net, here), here, "validation", 2)
    assert backend.wrap(net).net == "mlp"
