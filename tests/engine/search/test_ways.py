"""test_ways: every way pays alike, counts what it asked, and keeps the best of it."""

import pytest
from planted import BEST, GAME

from lichen.core import session
from lichen.core.environment import Environment
from lichen.data import environments
from lichen.engine.search import ways


@pytest.mark.parametrize("way", ["random", "greedy", "tpe"])
def test_a_way_asks_as_often_as_it_may_and_finds_the_planted_best(way):
    if way == "tpe":
        pytest.importorskip("optuna")
    before = len(GAME.asked)
    choices = [ways.found(way, GAME, 40, seed, None, "") for seed in range(3)]
    assert sum(one.levels == BEST for one in choices) >= 1
    assert [one.asked for one in choices] == [40] * 3 and len(GAME.asked) == before + 3 * 40


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "pqn", "reinforce"])
def test_a_learner_keeps_its_best_episode_and_says_how_many_it_paid_for(algorithm):
    with session.using(session.Session()):
        before = len(GAME.asked)
        choice = ways.found("rl", GAME, 60, 0, world(), algorithm)
    tried = GAME.asked[before:]
    assert 60 * 0.9 < choice.asked == len(tried) <= 60
    assert GAME.worth(choice.levels) == max(worth for _, worth in tried) > GAME.worth(GAME.usual)


def test_a_search_that_the_store_has_is_paid_for_again(tmp_path):
    with session.opened(tmp_path / ".lichen"):
        first, second = (ways.found("rl", GAME, 30, 0, world(), "pqn") for _ in range(2))
    assert first == second and first.asked > 0


def world():
    found = environments.look_at("planted:Small", {}, [])
    assert isinstance(found, Environment)
    return found
