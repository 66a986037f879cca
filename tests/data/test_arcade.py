"""test_arcade: a console's games look as elsewhere, cuts and ends are told apart, and they can be drawn."""

from itertools import pairwise

import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from lichen.core.errors import LichenError
from lichen.data import environments
from lichen.engine.decision import film, policy

pytest.importorskip("ale_py")
from lichen.data.arcade import Arcade, Drawn

SMALL = {"height": 42, "width": 42}


def looked(name="ALE/Breakout-v5", max_steps=None, wrappers=(), **options):
    return environments.look_at(name, {**SMALL, **options}, list(wrappers), max_steps)


def played(world, num=3, steps=40, seed=5):
    made, draws = environments.copies(world, num), np.random.default_rng(0)
    made.reset(seed)
    found = [made.step(draws.integers(0, world.num_actions, num)) for _ in range(steps)]
    made.close()
    return found


def test_an_id_of_gymnasium_is_four_grey_frames_and_actions_that_stick():
    world = environments.look_at("ALE/Pong-v5", {}, [])
    assert world.observation == {"shape": [4, 84, 84], "dtype": "uint8"} and world.num_actions == 6
    assert "ale_py" in world.modules() and world.options == {"game": "pong"}


def test_equal_seeds_play_equal_games_and_others_do_not():
    world = looked()
    one, other, else_ = (np.stack([step.nexts for step in played(world, seed=seed)]) for seed in (5, 5, 6))
    assert (one == other).all() and (one != else_).any()


def test_frames_move_along_in_what_is_seen():
    """All but the newest frame were seen before."""
    steps = played(looked(), num=1)
    for before, after in pairwise(steps):
        np.testing.assert_array_equal(after.nexts[0, :-1], before.nexts[0, 1:])


def test_a_limit_cuts_off_and_does_not_terminate_and_what_follows_is_no_step():
    steps = played(looked("ALE/Pong-v5", max_steps=12), num=2)
    ends = [(at, copy) for at, step in enumerate(steps) for copy in np.flatnonzero(step.truncated)]
    assert len(ends) >= 4 and not any(step.terminated.any() for step in steps)
    assert all(not steps[at + 1].is_real[copy] for at, copy in ends if at + 1 < len(steps))


def test_a_life_that_is_lost_may_end_an_episode():
    ends = [sum(step.terminated.sum() for step in played(looked(is_one_life=is_one), num=2, steps=120))
            for is_one in (False, True)]  # fmt: skip
    assert ends[1] > ends[0]


def test_points_are_told_as_the_game_counts_them():
    rewards = np.concatenate([step.rewards for step in played(looked("ALE/SpaceInvaders-v5"), steps=200)])
    assert rewards.max() >= 5.0


def test_the_copy_that_is_drawn_plays_the_same_game():
    one, many = Drawn({"game": "breakout", **SMALL}, "rgb_array"), Arcade(1, "breakout", **SMALL)
    seen, first = one.reset(seed=9)[0], many.reset(seed=9)[0]
    np.testing.assert_array_equal(seen, first[0])
    shown = {one.render().tobytes()}
    for action in np.random.default_rng(1).integers(0, 4, 30):
        seen, reward, *_ = one.step(action)
        other, earned, *_ = many.step(np.array([action]))
        np.testing.assert_array_equal(seen, other[0])
        assert reward == earned[0]
        shown.add(one.render().tobytes())
    assert one.render().shape == (210, 160, 3) and len(shown) > 5


def test_a_policy_over_frames_is_filmed_in_colours():
    world = looked("ALE/Pong-v5", max_steps=20)
    model = policy.model_of(policy.net("nature", {"widths": [4, 4, 4], "dense": 8}, world, 6, seed=0), world)
    found = film.of(model, world, "validation", 4)
    assert found.pictures[0].shape[0] == 3 and 0 < found.length <= 20


def test_wrappers_stand_on_the_frames():
    world = looked(wrappers=[{"name": "ClipReward", "options": {"max_reward": 0.5}}])
    assert max(step.rewards.max() for step in played(world, num=2, steps=120)) <= 0.5
    assert world.observation["shape"] == [4, 42, 42]


def test_other_vector_environments_keep_how_they_begin_anew():
    """ale-py writes its own into what all of them share."""
    before = dict(VectorEnv.metadata)
    Arcade(1, "pong").close()
    assert VectorEnv.metadata == before


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ALE/Pung-v5", {}, "ALE/Pong-v5"),
        ("ALE/Pong-v4", {}, "ALE/Pong-v5"),
        ("ALE/Pong-v5", {"frames": 2}, "frames"),
        ("ALE/Pong-v5", {"frameskip": 0}, "at least 1"),
        ("ALE/Pong-v5", {"repeat_action_probability": 1.0}, "[0, 1)"),
    ],
)
def test_mistakes_are_named(name, options, words):
    with pytest.raises(LichenError) as caught:
        environments.look_at(name, options, [])
    assert words in str(caught.value) + str(caught.value.hint)
