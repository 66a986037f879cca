"""test_reinforce: returns by their definition, and learning by returns alone."""

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.data import environments
from lichen.engine.rollout import Stage
from lichen.steps.decide import reinforce

DISCOUNT = 0.9


def ones(seen, step):
    taken = np.ones(len(seen), np.int64)
    return taken, taken


@pytest.mark.parametrize("name", ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled"])
def test_returns_are_discounted_sums_and_the_critic_speaks_for_what_was_cut_off(name):
    stage = Stage(environments.look_at(name, {}, []), 3)
    stage.reset(1)
    found = stage.rollout(ones, 23)
    worth = (5.0 + found.nexts[..., 2]).astype(np.float32)
    told = reinforce.returns(found, worth, DISCOUNT)
    for copy in range(3):
        for start in np.flatnonzero(found.is_real[:, copy]):
            total, factor = 0.0, 1.0
            for step in range(start, 23):
                total += factor * found.rewards[step, copy]
                factor *= DISCOUNT
                if found.ended[step, copy]:
                    break
            total += 0.0 if found.terminated[step, copy] else factor * worth[step, copy]
            assert told[start, copy] == pytest.approx(total, rel=1e-5)


def test_it_learns_which_lamp_is_lit():
    with session.using(session.Session()):
        lamps = li.environment("worlds:Bandit")
        model = li.decide.reinforce(lamps, num_envs=4, horizon=32, rate=2e-2, num_steps=4096)
        assert li.evaluate(model, lamps, episodes=40)["mean_return"] > 0.95
