"""test_ratios: whatever is wished for, the net that comes of it keeps the budget, and costs what it says."""

import itertools

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import session
from lichen.core.array import Array
from lichen.core.errors import UsageError
from lichen.data import environments
from lichen.engine.compression import allocation, pruning
from lichen.engine.modules import architecture, backend, macs
from lichen.engine.search import games, ratios
from lichen.engine.search.moves import level_of
from lichen.engine.task import task_of

SHAPE = (3, 16, 16)


def pictures(is_sorted=False):
    draws = np.random.default_rng(0)
    targets = np.arange(160) % 2
    images = draws.integers(0, 120, (160, 3, 16, 16)) + 120 * targets[:, None, None, None]
    splits = np.array(["train"] * 20 + ["validation"] * 120 + ["test"] * 20)
    order = np.argsort(targets, kind="stable") if is_sorted else np.arange(160)
    return li.arrays(images[order].astype("uint8"), targets[order], labels=["dark", "light"],
                     splits=splits[order].tolist())  # fmt: skip


def untrained():
    torch.manual_seed(0)
    module = architecture.build("cifar_resnet", {"depth": 8}, SHAPE, 2)
    assets = {"labels": ["dark", "light"], "mean": [0.5] * 3, "std": [0.25] * 3, "image_shape": list(SHAPE)}
    return backend.wrap(module, task="image_classification", assets=assets)


@pytest.fixture
def here(tmp_path):
    with session.opened(tmp_path / ".lichen") as opened:
        yield opened


def world(here, data=None, **options):
    model, data = here.store.keep(untrained()), here.store.keep(data or pictures())
    return li.prepare.ratios(model, data, **{"num_levels": 4, "speedup": 1.5, "num_rows": 40, **options})


def game_in(environment):
    copies = environments.copies(environment, 1)
    game = copies.vector.envs[0].unwrapped.game
    copies.close()
    return game


def narrowed(game, levels):
    return pruning.without(game.module, SHAPE, allocation.gone(game.groups, game.kept(levels)))


def test_the_cost_of_a_choice_is_that_of_the_net_that_comes_of_it(here):
    game = game_in(world(here))
    for wish in ((0, 0), (3, 3), (0, 3), (2, 1)):
        levels = (wish * game.num_places)[: game.num_places]
        assert game.cost(levels) == macs.count(narrowed(game, levels), SHAPE)


def test_every_wish_is_cut_down_to_the_budget_and_no_further(here):
    game = game_in(world(here))
    assert game.budget * 1.5 == macs.count(game.module, SHAPE)
    for wish in itertools.product(range(4), repeat=game.num_places):
        levels = games.settled(game, wish)
        assert game.cost(levels) <= game.budget
        if game.cost(wish) <= game.budget:
            assert levels == wish
    assert game.cost((3,) * game.num_places) > game.budget  # without the cut a wish can break it


def test_equal_layers_come_near_the_budget(here):
    game = game_in(world(here))
    assert game.cost(game.usual) <= game.budget and max(game.usual) - min(game.usual) <= 1
    assert all(game.cost((*game.usual[:place], level + 1, *game.usual[place + 1 :])) > game.budget
               for place, level in enumerate(game.usual) if level == min(game.usual))  # fmt: skip


def test_an_episode_earns_at_its_end_the_accuracy_on_rows_that_do_not_judge(here):
    environment = world(here)
    game, copies = game_in(environment), environments.copies(environment, 2)
    copies.reset(0)
    rewards = []
    for _ in range(game.num_places):
        happened = copies.step(np.array([3, 0]))
        rewards.append(happened.rewards)
    assert happened.terminated.all() and not np.any(rewards[:-1])
    levels = games.settled(game, (3,) * game.num_places), (0,) * game.num_places
    np.testing.assert_allclose(rewards[-1], [game.worth(one) for one in levels], rtol=1e-6)
    assert not set(game.chosen) & set(game.others) and len(game.outcome(levels[0], 0)) == len(game.others)


def test_rows_that_lie_class_by_class_are_judged_as_mixed_ones(here, monkeypatch):
    monkeypatch.setattr(ratios, "BATCH", 16)
    mixed, apart = (game_in(world(here, pictures(is_sorted), num_rows=30)) for is_sorted in (False, True))
    for one, other in ((mixed.chosen, apart.chosen), (mixed.others, apart.others)):
        answers, targets = apart._answers(apart.usual, other)
        assert 0.3 < targets.mean() < 0.7
        np.testing.assert_array_equal(answers, mixed._answers(mixed.usual, one)[0])


def test_a_number_from_minus_one_to_one_is_a_level():
    assert [level_of(share, 4) for share in (-1.0, -0.51, -0.5, 0.0, 0.49, 0.5, 1.0)] == [0, 0, 1, 2, 2, 3, 3]


def test_what_cannot_be_met_and_what_is_not_stored_are_refused(here):
    with pytest.raises(UsageError, match="at its narrowest"):
        world(here, speedup=100.0)
    with session.using(session.Session()), pytest.raises(UsageError, match="store"):
        games.held("0" * 64)


@pytest.mark.parametrize("higher", [True, False])
def test_what_costs_most_error_is_worth_least(here, higher, monkeypatch):
    """A choice that keeps all channels is the best one, whether the headline rises or falls with it."""
    game = game_in(world(here))
    game.sign = 1.0 if higher else -1.0
    monkeypatch.setattr(game, "_answers", lambda levels, places: (np.array([sum(levels)]), places))
    monkeypatch.setattr(game, "task", Headline(higher))
    wide, slim = ((level,) * game.num_places for level in (game.num_levels - 1, 0))
    assert game.tried(wide) > game.tried(slim)
    assert game.outcome(wide, 0).mean() > game.outcome(slim, 0).mean()


def test_the_sign_is_that_of_the_task(here):
    assert game_in(world(here)).sign == 1.0
    ranked = task_of("ordinal_regression")
    assert not ranked.higher_is_better
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ratios, "task_of", lambda name: ranked)
        ratios.game_of.cache_clear()
        assert game_in(world(here, num_rows=41)).sign == -1.0


class Headline:
    """A figure that is the better the wider a net is, as an accuracy or as an error."""

    headline = "figure"

    def __init__(self, higher):
        self.higher = higher

    def figures(self, outputs, _targets):
        return {"figure": float(outputs[0] if self.higher else -outputs[0])}

    def score(self, outputs, targets):
        return {}, {"outcome": Array.of(np.array([self.figures(outputs, targets)["figure"]], np.float32))}
