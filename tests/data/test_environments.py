"""test_environments: however copies begin anew, no step leads into another episode, and no seed is shared."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from lichen.core.errors import NotFoundError, OptionError, UnsafeInputError, UsageError
from lichen.data import environments
from lichen.data.environments import Copies

WORLDS = ["worlds:NextStep", "worlds:SameStep", "worlds:Disabled", "worlds:Corridor"]
LENGTHS = {0: 3, 1: 5}


def copies(name, num=3):
    return environments.copies(environments.look_at(name, {}, []), num)


def walk(made, num_steps=40):
    """(seen, step) of real rows only."""
    made.reset(7)
    found = []
    for _ in range(num_steps):
        seen = made.observations
        step = made.step(np.ones(made.num, np.int64))
        found += [(seen[n], *(column[n] for column in step[:4])) for n in range(made.num) if step.is_real[n]]
    return found


def check(rows):
    """Every row stays in its copy and episode, one step on, and says right how an episode ended."""
    for seen, nexts, reward, terminated, truncated in rows:
        assert nexts.tolist() == [seen[0], seen[1], seen[2] + 1]
        assert reward == 2 * nexts[2]
        is_last = nexts[2] == LENGTHS[int(seen[1]) % 2]
        assert terminated == (is_last and seen[1] % 2 == 0)
        assert truncated == (is_last and seen[1] % 2 == 1)


@pytest.mark.parametrize("name", WORLDS)
def test_no_step_leads_into_another_episode(name):
    rows = walk(copies(name))
    check(rows)
    ends = sum(bool(row[3] or row[4]) for row in rows)
    assert ends >= 3 * 8
    dead = ends - 3 if name == "worlds:NextStep" else 0
    assert len(rows) == pytest.approx(3 * 40 - dead, abs=3)


@pytest.mark.parametrize("kind", ["", "NextStep", "Disabled"])
def test_no_step_leads_into_another_episode_where_all_that_is_shown_shares_an_array(kind):
    check(walk(copies(f"worlds:Overwriting{kind}")))


DEFECTS = {
    "takes what a copy sees after it began anew for what came next": (
        "worlds:SameStep",
        AutoresetMode.DISABLED,
    ),
    "counts the step in which a copy only begins anew": ("worlds:NextStep", AutoresetMode.SAME_STEP),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_mistake_about_how_copies_begin_anew_is_caught(defect, monkeypatch):
    name, mode = DEFECTS[defect]
    made = copies(name)
    made.mode = mode
    monkeypatch.setattr(environments, "_with_finals", lambda seen, ended, infos: seen)
    monkeypatch.setattr(made.vector, "reset", _without_mask(made.vector.reset))
    with pytest.raises(AssertionError):
        check(walk(made))


def _without_mask(reset):
    """Lets a vector that resets by itself be told to, as the defect believes it must."""
    last = []

    def changed(*, seed=None, options=None):
        if options is None:
            last[:] = [reset(seed=seed)]
        return last[0]

    return changed


def test_a_vector_that_does_not_say_how_it_begins_anew_is_refused():
    with pytest.raises(UsageError, match="how its copies begin anew"):
        copies("worlds:Silent")


def test_splits_never_share_a_seed():
    most = environments.MOST_COPIES
    for number in (0, 1, 12345, (1 << 29) - most - 1, (1 << 29) - most, 2**62):
        seeds = {split: environments.seed_of(split, number) for split in environments.BANDS}
        bands = {split: {seed >> 29, (seed + most - 1) >> 29} for split, seed in seeds.items()}
        assert all(band == {environments.BANDS[split]} for split, band in bands.items())
        assert all(0 <= seed < 2**31 for seed in seeds.values())


def test_the_native_vector_of_an_environment_is_used_where_nothing_wraps_it():
    plain = environments.look_at("CartPole-v1", {}, [], 30)
    assert type(environments.copies(plain, 2).vector).__name__ == "CartPoleVectorEnv"
    wrapped = environments.look_at(
        "CartPole-v1", {}, [{"name": "ClipReward", "options": {"max_reward": 0.5}}]
    )
    made = environments.copies(wrapped, 2)
    made.reset(0)
    assert made.step(np.array([0, 1])).rewards.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", ["CartPole-v1", "worlds:Corridor"])
def test_a_limit_of_steps_cuts_off_and_does_not_terminate(name):
    made = environments.copies(environments.look_at(name, {}, [], 2), 2)
    made.reset(3)
    made.step(np.array([0, 1]))
    last = made.step(np.array([1, 0]))
    assert last.truncated.all() and not last.terminated.any()


def test_equal_seeds_give_equal_episodes():
    def told(seed):
        made = environments.copies(environments.look_at("CartPole-v1", {}, []), 4)
        made.reset(seed)
        return [made.step(np.array([0, 1, 0, 1])).nexts for _ in range(12)]

    np.testing.assert_array_equal(told(5), told(5))
    assert not np.array_equal(told(5), told(6))


def test_discrete_observations_become_numbers():
    lake = environments.look_at("FrozenLake-v1", {}, [])
    made = environments.copies(lake, 2)
    made.reset(0)
    assert made.observations.tolist() == [[1.0] + [0.0] * 15] * 2


@pytest.mark.parametrize(
    ("name", "options", "wrappers", "error", "words"),
    [
        ("CartPol-v1", {}, [], NotFoundError, "CartPole-v1"),
        ("cartpole", {}, [], NotFoundError, "CartPole-v1"),
        ("CartPole-v1", {"gravitas": 1}, [], OptionError, "gravitas"),
        ("CartPole-v1", {}, [{"name": "ClipRewards", "options": {}}], NotFoundError, "ClipReward"),
        ("CartPole-v1", {}, [{"name": "ClipReward", "options": {"top": 1}}], OptionError, "top"),
        ("os:system", {}, [], UnsafeInputError, "part of Python"),
        ("antigravity:Env-v1", {}, [], UnsafeInputError, "part of Python"),
        ("numpy:array", {}, [], UnsafeInputError, "class of"),
        ("CartPole-v1", {}, [{"name": "RecordVideo", "options": {}}], UnsafeInputError, "writes files"),
        (
            "CartPole-v1",
            {},
            [{"name": "gymnasium.wrappers:RecordVideo", "options": {}}],
            UnsafeInputError,
            "writes files",
        ),
        ("CartPole-v1", {}, [{"name": "NormalizeObservation", "options": {}}], UsageError, "normalise: true"),
        ("CartPole-v1", {}, [{"name": "NormalizeReward", "options": {}}], UsageError, "normalise: true"),
        ("CartPole-v1", {}, [{"name": "worlds:Counted", "options": {}}], UsageError, "normalise: true"),
        (
            "CartPole-v1",
            {},
            [{"name": "subprocess:Popen", "options": {}}],
            UnsafeInputError,
            "part of Python",
        ),
        ("worlds:Nowhere", {}, [], NotFoundError, "Nowhere"),
        ("worlds:NextStep", {}, [{"name": "ClipReward", "options": {}}], UsageError, "takes no wrappers"),
    ],
)
def test_mistakes_are_named(name, options, wrappers, error, words):
    with pytest.raises(error) as caught:
        environments.look_at(name, options, wrappers)
    assert words in str(caught.value)


def test_a_step_is_told_apart_from_what_the_environment_does_to_its_arrays():
    """Some environments write every observation into the same array."""
    made = copies("worlds:NextStep")
    made.vector.copy = False
    check(walk(made))
    assert isinstance(made, Copies)
