"""test_turns: steps one after the other are those of Gymnasium's loop, and who rests takes none."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from lichen.data import environments, makers
from lichen.data.environments import Copies
from lichen.data.turns import Turns

WORLDS = {
    "worlds:Corridor": lambda draws: draws.integers(0, 2, 3),
    "worlds:Push": lambda draws: draws.uniform(-2, 6, (3, 1)).astype(np.float32),
    "Pendulum-v1": lambda draws: draws.uniform(-2, 2, (3, 1)),
}
"""Where to walk, and how actions are drawn."""


def world(name, max_steps=None):
    return environments.look_at(name, {}, [], max_steps)


def gymnasiums(name, max_steps):
    one = makers.maker(world(name, max_steps))
    return Copies(SyncVectorEnv([one] * 3, autoreset_mode=AutoresetMode.SAME_STEP))


def walk(copies, drawn, num_steps=30):
    draws = np.random.default_rng(0)
    copies.reset(4)
    return [(copies.observations, *copies.step(drawn(draws))) for _ in range(num_steps)]


@pytest.mark.parametrize("name", WORLDS)
def test_what_happens_is_what_happens_in_gymnasiums_loop(name):
    mine, theirs = environments.copies(world(name, 7), 3), gymnasiums(name, 7)
    assert type(mine.vector) is Turns
    for found, wanted in zip(walk(mine, WORLDS[name]), walk(theirs, WORLDS[name]), strict=True):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


def test_who_rests_takes_no_steps_until_all_begin_anew_and_the_others_notice_nothing():
    resting, all_go_on = (environments.copies(world("worlds:Corridor"), 3) for _ in range(2))
    for copies in (resting, all_go_on):
        copies.reset(4)
    resting.rest(np.array([False, True, False]))
    before = resting.observations[1]
    for _ in range(8):
        found, wanted = (copies.step(np.ones(3, int)) for copies in (resting, all_go_on))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])
        assert found.rewards[1] == 0 and not found.terminated[1] and not found.truncated[1]
        np.testing.assert_array_equal(resting.observations[1], before)
    resting.reset(4)
    assert resting.step(np.ones(3, int)).rewards.all()
