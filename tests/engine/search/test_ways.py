"""test_ways: every way pays alike and finds a planted best."""

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
    GAME.asked = 0
    chosen = [ways.WAYS[way](GAME, 40, seed, None, "") for seed in range(3)]
    assert sum(one == BEST for one in chosen) >= 1
    assert 3 * 40 <= GAME.asked <= 6 * 40 + 3  # worth once more when the best of those tried is told


@pytest.mark.parametrize("algorithm", ["dqn", "pqn"])
def test_a_learnt_policy_pays_for_its_episodes_and_for_being_judged(algorithm):
    with session.using(session.Session()):
        world = environments.look_at("planted:Small", {}, [])
        assert isinstance(world, Environment)
        GAME.asked = 0
        chosen = ways.learnt(GAME, 60, 0, world, algorithm)
        assert GAME.asked <= 60
        assert GAME.worth(chosen) > GAME.worth(GAME.usual)
