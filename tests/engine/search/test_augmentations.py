"""test_augmentations: an episode earns what the training with its operations is worth where rows choose."""

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.errors import UsageError
from lichen.data import actions, environments
from lichen.engine.modules import backend
from lichen.engine.search import games, ways
from lichen.engine.search.hunt import Hunt


def pictures():
    draws = np.random.default_rng(3)
    targets = np.arange(120) % 2
    images = draws.integers(0, 160, (120, 1, 8, 8)) + 60 * targets[:, None, None, None]
    splits = ["train"] * 50 + ["validation"] * 50 + ["test"] * 20
    return li.arrays(images.astype("uint8"), targets, labels=["dark", "light"], splits=splits)


def trained():
    data = li.augment.policy(pictures(), ops=["blur"])
    return li.pretrain.train(data, net="mlp", net_options={"width": 8}, epochs=2, precision="float32"), data


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    with session.opened(tmp_path_factory.mktemp("life") / ".lichen") as here:
        model, data = trained()
        yield here, model, data, li.prepare.augmentations(model, data)


def test_an_episode_earns_the_headline_of_the_training_with_its_operations(life):
    here, model, data, world = life
    copies = environments.copies(world, 1)
    copies.reset(0)
    for action in (0, 3, *[0] * (actions.LENGTH - 2)):
        happened = copies.step(np.array([action]))
    copies.close()
    hunt = Hunt(model.made, data, here)
    assert happened.terminated.all()
    assert happened.rewards[0] == pytest.approx(hunt.chosen(actions.ops_of([2]), 1))


def test_a_learner_plays_it_and_rows_that_choose_do_not_judge(life):
    *_, data, world = life
    policy = li.decide.pqn(world, num_steps=24, num_envs=1, horizon=12, batch_size=12, judge_episodes=0)
    assert len(policy.assets["labels"]) == 1 + len(actions.ACTIONS)
    game = ways.game_of(world)
    choosing = games.chooses(data.rows("validation").ids)
    assert len(game.outcome((0, 0, 0), 0)) == (~choosing).sum() and 1 < len(game.known) <= 8


def test_a_later_run_trains_in_the_store_that_is_open_then(tmp_path):
    for number, name in enumerate(("first", "second")):
        with session.opened(tmp_path / name) as here:
            game = ways.game_of(li.prepare.augmentations(*trained()))
            before = here.counts["computed"]
            game.worth((0, 0, 0, number))
            assert here.counts["computed"] > before


def test_what_the_life_has_recorded_is_a_choice_though_no_level_says_it(life):
    here, *_ = life
    odd = li.augment.policy(pictures(), ops=[{"blur": 0.123}])
    model = li.pretrain.train(odd, net="mlp", net_options={"width": 8}, epochs=1, precision="float32")
    game = ways.game_of(li.prepare.augmentations(model, odd))
    assert game.line(game.recorded) == "- augment.policy: {ops: [blur: 0.123]}"
    does_choose = games.chooses(odd.rows("validation").ids)
    whole = Hunt(model.made, odd, here).outcome([{"blur": 0.123}], 1, 1)
    assert game.outcome(game.recorded, 0).tolist() == whole[~does_choose].tolist()


def test_a_model_without_a_life_or_a_policy_is_refused(life):
    _, model, data, _ = life
    found = backend.wrap(backend.module_of(model), task=model.task, assets={**model.assets, "of": "nowhere"})
    with pytest.raises(UsageError, match="recorded steps"):
        li.prepare.augmentations(found, data)
    bare = pictures()
    with pytest.raises(UsageError, match=r"augment\.policy"):
        li.prepare.augmentations(li.pretrain.train(bare, net="mlp", epochs=1, precision="float32"), bare)
