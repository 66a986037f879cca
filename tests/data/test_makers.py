"""A name builds the same environment however it is written, and nothing but an environment is ever called."""

import numpy as np
import pytest
import worlds
from gymnasium import spaces

from lichen.core.errors import MachineError, NotFoundError, OptionError, UnsafeInputError, UsageError
from lichen.data import environments, makers
from lichen.engine.decision import policy


def found(name, options=None, wrappers=()):
    return environments.look_at(name, options or {}, list(wrappers))


def test_an_id_has_its_librarys_address_and_a_users_own_stays():
    assert makers.address_of("CartPole-v1") == makers.address_of("gymnasium/CartPole-v1")
    assert makers.address_of("worlds:NextStep") == "worlds:NextStep"
    with pytest.raises(NotFoundError, match="unknown environment `CartPole`") as caught:
        makers.address_of("CartPole")
    assert "CartPole-v1" in caught.value.hint


def test_a_copy_has_its_options_and_its_wrappers_in_their_order():
    limit = {"name": "TimeLimit", "options": {"max_episode_steps": 7}}
    clip = {"name": "ClipReward", "options": {"min_reward": 0.0, "max_reward": 0.5}}
    env = makers.maker(found("CartPole-v1", {"sutton_barto_reward": True}, [clip, limit]))()
    assert [type(one).__name__ for one in (env, env.env)] == ["TimeLimit", "ClipReward"]
    assert env.unwrapped._sutton_barto_reward
    with pytest.raises(OptionError, match="cannot be built with these options"):
        found("CartPole-v1", {"gravity": 3.0})


def test_two_copies_begin_alike_and_what_one_does_leaves_the_other():
    build = makers.maker(found("CartPole-v1"))
    one, other = build(), build()
    assert np.array_equal(one.reset(seed=3)[0], other.reset(seed=3)[0])
    before = np.array(other.unwrapped.state)
    one.step(0)
    assert np.array_equal(other.unwrapped.state, before) and not np.array_equal(one.unwrapped.state, before)


def test_what_is_seen_is_numbers_in_a_box():
    env = makers.maker(found("FrozenLake-v1"))()
    assert isinstance(env.observation_space, spaces.Box) and env.observation_space.shape == (16,)


def test_pictures_whose_channels_come_last_are_turned_and_say_so():
    world, plain = found("worlds:Painted"), worlds.Painted()
    assert world.observation == {"shape": [3, 6, 8], "dtype": "uint8"}
    assert [one["name"] for one in world.wrappers] == [makers.CHANNELS_FIRST]
    made = environments.copies(world, 1)
    made.reset(5)
    wanted = plain.reset(seed=5)[0]
    assert wanted.any() and np.array_equal(made.observations[0], wanted.transpose(2, 0, 1))
    assert policy.net("nature", {}, world, 2, seed=0).body[0].in_channels == 3


def test_other_boxes_stay_as_they_are_and_a_vector_without_copies_is_refused():
    few_rows, numbers = found("worlds:Seen"), [{"name": "DtypeObservation", "options": {"dtype": "float32"}}]
    assert few_rows.observation["shape"] == [2, 2, 1] and not few_rows.wrappers
    assert found("worlds:Painted", {}, numbers).observation["shape"] == [6, 8, 3]
    with pytest.raises(UsageError, match="channels come last"):
        found("worlds:PaintedVector")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [("os:system", UnsafeInputError, "part of Python"), ("numpy:zeros", UnsafeInputError, "must be a class"),
     ("worlds:np", UnsafeInputError, "must be a class")],
)  # fmt: skip
def test_what_is_no_environment_is_never_called(name, error, words):
    with pytest.raises(error, match=words):
        found(name)


@pytest.mark.parametrize(
    ("address", "hint"),
    [("gymnasium/LunarLander-v3", "lichen[box2d]"), ("gymnasium/Reacher-v5", "lichen[mujoco]"),
     ("gymnasium/minigrid:MiniGrid-FourRooms-v0", "lichen[maze]"),
     ("lichen.data.arcade:Arcade", "lichen[atari]"), ("lichen.data.boards:Board", "lichen[boards]"),
     ("worlds:Bandit", None)],
)  # fmt: skip
def test_a_missing_package_is_the_machines_fault_with_what_brings_it(address, hint):
    def build():
        raise ImportError("no module of that name")

    with pytest.raises(MachineError, match="not installed") as caught:
        makers.told(address, build)
    assert caught.value.hint == (f"pip install '{hint}'" if hint else None)


@pytest.mark.parametrize(
    "name", ["minigrid:MiniGrid-FourRooms-v0", "MiniGrid-NoRooms-v0", "minigrid.envs:Maze"]
)
def test_a_package_of_environments_that_is_not_there_is_named_with_what_brings_it(name, monkeypatch):
    monkeypatch.setattr(makers.find, "file_of", lambda module: None)
    with pytest.raises(MachineError, match="`minigrid` is not installed") as caught:
        found(name)
    assert "lichen[maze]" in caught.value.hint
