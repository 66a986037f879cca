"""test_rollout: what is kept of acting is what happened, episode by episode."""

import numpy as np
import pytest

from lichen.data import environments
from lichen.engine.rollout import Stage, first_episodes

WORLDS = ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled", "worlds:Corridor"]


def stage(name="worlds:NextStep", num=3):
    made = Stage(environments.look_at(name, {}, []), num)
    made.reset(5)
    return made


def ones(seen, step):
    taken = np.ones(len(seen), np.int64)
    return taken, taken * 7


@pytest.mark.parametrize("name", WORLDS)
def test_returns_of_episodes_are_known_and_carried_from_rollout_to_rollout(name):
    made = stage(name)
    found = [made.rollout(ones, 4) for _ in range(10)]
    returns = [one for rollout in found for one in rollout.returns]
    lengths = [one for rollout in found for one in rollout.lengths]
    assert set(zip(returns, lengths)) == {(12.0, 3), (30.0, 5)}
    assert abs(lengths.count(3) - lengths.count(5)) <= 3


def test_a_rollout_goes_on_where_the_last_one_ended_and_keeps_what_the_learner_calls_actions():
    made = stage()
    first, second = made.rollout(ones, 2), made.rollout(ones, 2)
    np.testing.assert_array_equal(second.seen[0], first.nexts[-1])
    assert (first.actions == 7).all()


@pytest.mark.parametrize("name", WORLDS)
def test_real_rows_lead_one_step_on_in_their_own_episode(name):
    found = stage(name).rollout(ones, 30)
    rows = found.real()
    seen, nexts = (part.reshape(-1, 3)[rows] for part in (found.seen, found.nexts))
    np.testing.assert_array_equal(nexts - seen, np.tile([0, 0, 1], (len(rows), 1)))
    assert (found.ended >= found.terminated).all()


def test_first_episodes_are_whole_and_nobody_steps_beyond_them():
    made = environments.copies(environments.look_at("worlds:Corridor", {}, []), 4)
    made.reset(5)
    taken = []
    for number, env in enumerate(made.vector.envs):
        for _ in range(number % 2):  # a copy that begins with its second episode, of five steps
            env.reset()
        env.step = counted(env.step, taken)
    returns, lengths = first_episodes(made, lambda seen: np.zeros(len(seen), np.int64))
    assert lengths.tolist() == [3, 5, 3, 5] and returns.tolist() == [6.0, 15.0, 6.0, 15.0]
    assert len(taken) == sum(lengths)


def counted(step, taken):
    def changed(action):
        taken.append(action)
        return step(action)

    return changed
