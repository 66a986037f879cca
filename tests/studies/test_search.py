"""test_search: a way is called the winner only where it is better than every other."""

from importlib.util import find_spec

import numpy as np
import pytest
from planted import BEST, GAME

import lichen as li
from lichen.core import recipefile, session
from lichen.core.errors import UsageError
from lichen.engine.modules import macs
from lichen.engine.search import ways
from lichen.engine.search.ways import Choice
from lichen.steps.compress import prune
from lichen.studies import search as study


def test_a_winner_is_named_only_where_it_is_better_than_every_other():
    near, far, usual = (Choice(levels, 60) for levels in (BEST, (0, 3, 0), GAME.usual))
    clear = {"rl": [near] * 3, "random": [far] * 3, study.USUAL: [usual] * 3}
    found = study._judged(GAME, clear, "ratios", "dqn", 0.95)
    assert found.first == found.winner == "rl" and "rl won" in str(found)
    tied = {"rl": [near] * 3, "tpe": [near] * 3, study.USUAL: [usual] * 3}
    found = study._judged(GAME, tied, "ratios", "dqn", 0.95)
    assert found.winner is None and "nobody won" in str(found)
    assert {pair.verdict for pair in found.pairs} == {"better", "no measurable difference"}


def trained():
    draws = np.random.default_rng(3)
    targets = np.arange(160) % 2
    images = draws.integers(0, 160, (160, 1, 8, 8)) + 60 * targets[:, None, None, None]
    splits = ["train"] * 40 + ["validation"] * 100 + ["test"] * 20
    data = li.arrays(images.astype("uint8"), targets, labels=["dark", "light"], splits=splits)
    data = li.augment.policy(data, ops=["blur"])
    return li.pretrain.train(data, net="mlp", net_options={"width": 16}, epochs=1, precision="float32"), data


def test_each_way_pays_and_a_recipe_can_apply_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(prune.Cut, "require_gain", lambda *_: None)  # a clock says nothing of so small a net
    if find_spec("optuna") is None:
        monkeypatch.delitem(ways.WAYS, "tpe")
    with session.opened(tmp_path / ".lichen"):
        model, data = trained()
        found = study.search(model, data, budget=30, seeds=2, algorithm="pqn", speedup=1.5, num_rows=40)
        asked = {one.way: one.asked for one in found.found}
        assert 20 < asked.pop("rl") <= 30
        assert asked == dict.fromkeys(ways.WAYS.keys() - {"rl"}, 30) | {study.USUAL: 1}
        assert len(found.pairs) == len(found.found) * (len(found.found) - 1) / 2
        first = next(one for one in found.found if one.way == found.first)
        assert first.line in str(found) and first.line in str(found.as_json())
        options = recipefile.plain(first.line.removeprefix("- "), "line")["compress.prune"]
        slim = li.compress.prune(model, data, **options, epochs=0)
        game = ways.game_of(li.prepare.ratios(model, data, speedup=1.5, num_rows=40))
        (levels,) = {levels for levels, _ in game.asked if game.kept(levels) == options["widths"]}
        assert macs.count(slim.torch(), [1, 8, 8]) == game.cost(levels) <= game.budget


def test_the_augmentation_of_the_life_is_a_contender(tmp_path, monkeypatch):
    monkeypatch.setattr(ways, "found", lambda way, game, *_: Choice(game.usual, 30))
    with session.opened(tmp_path / ".lichen"):
        model, data = trained()
        found = study.search(model, data, what="augmentations", budget=30, seeds=2)
    (own,) = (one for one in found.found if one.way == study.RECORDED)
    assert own.asked == 1 and own.choices[0].startswith("[blur") and own.line.startswith("- augment.policy")


@pytest.mark.parametrize("options, words", [({"seeds": 1}, "luck"), ({"budget": 5}, "at least")])
def test_what_could_name_no_winner_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        study.search(None, None, **options)
