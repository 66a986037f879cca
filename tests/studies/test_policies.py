"""A planted augmentation is found and is worth what it is worth; a harmful one is not passed off as help."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.session import opened
from lichen.data import actions
from lichen.data.augment import OPERATIONS
from lichen.studies import policies as module
from lichen.studies.policies import Policies, Trial, policies, rungs_of


def pictures(*, is_mirrored_later: bool) -> li.Dataset:
    """Four patterns with a side; train rows show one side only.

    Later rows show both sides of the same class, or the side is what tells two classes apart.
    """
    draws = np.random.Generator(np.random.Philox(5))
    splits = ["train"] * 120 + ["validation"] * 400 + ["test"] * 40
    targets = np.arange(len(splits)) % 4
    images = draws.integers(0, 90, (len(splits), 1, 8, 8))
    for row, (split, target) in enumerate(zip(splits, targets)):
        place = target if is_mirrored_later else target % 2
        images[row, 0, 2 * place : 2 * place + 2, :3] += 120
        is_mirrored = split != "train" and draws.random() < 0.5 if is_mirrored_later else target >= 2
        if is_mirrored:
            images[row] = images[row, :, :, ::-1]
    return li.arrays(images.astype("uint8"), targets, labels=list("abcd"), splits=splits)


@pytest.fixture
def here(tmp_path):
    with opened(tmp_path / ".lichen") as session:
        yield session


def trained(data: li.Dataset) -> li.Model:
    data = li.augment.policy(data, ops=["blur"])
    return li.pretrain.train(data, net="mlp", epochs=9, rate=0.05, precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("search", ["halving", "random"])
def test_a_planted_policy_is_found_and_is_worth_its_rows(here, search):
    data = pictures(is_mirrored_later=True)
    found = policies(trained(data), data, search=search, trials=18, seeds=2)
    assert found.verdict == "helps" and found.low > 0.1 and "flip" in found.ops[0]
    assert li.evaluate(found.model, data).value == pytest.approx(found.with_best, abs=0.1)


@pytest.mark.slow
def test_where_every_policy_harms_none_is_recommended(here, monkeypatch):
    """The side is the answer, so all candidates that mirror always are wrong."""
    data = pictures(is_mirrored_later=False)
    monkeypatch.setattr(actions, "drawn", lambda count, seed: [[{"flip": 0.5}, {"shift": 0.2}]] * count)
    found = policies(trained(data), data, trials=3, seeds=3)
    assert found.verdict == "harms" and found.high < 0 and found.ops == []
    assert found.best == [{"flip": 0.5}, {"shift": 0.2}]


def test_rows_that_choose_are_not_rows_that_judge(here, monkeypatch):
    """A planted score that is right on the choosing rows alone makes a best that is worth nothing."""
    data = pictures(is_mirrored_later=True)
    model = trained(data)
    hunts = []

    def flattered(hunt, ops, epochs, seed):
        hunts.append(hunt)
        hunt.metric = "accuracy"
        return hunt.chooses_N.astype(float) * len(ops) / actions.LENGTH

    monkeypatch.setattr(module.Hunt, "outcome", flattered)
    found = policies(model, data, trials=9, seeds=2)
    assert max(trial.value for trial in found.trials) == 1.0 and len(found.best) == actions.LENGTH
    assert found.worth == 0.0 and found.ops == []
    assert found.num_rows == (~hunts[0].chooses_N).sum()
    assert 0.4 < hunts[0].chooses_N.mean() < 0.6


def test_a_training_that_was_lucky_when_it_was_chosen_does_not_judge(here, monkeypatch):
    """Planted luck of the seed that chooses lies in all rows; by others every policy is worth nothing."""
    data = pictures(is_mirrored_later=True)
    model = trained(data)

    def lucky(hunt, ops, epochs, seed):
        hunt.metric = "accuracy"
        return np.full(len(hunt.chooses_N), len(ops) / actions.LENGTH if seed == 0 else 0.0)

    monkeypatch.setattr(module.Hunt, "outcome", lucky)
    found = policies(model, data, trials=9, seeds=2)
    assert max(trial.value for trial in found.trials) == 1.0
    assert found.worth == 0.0 and found.ops == []


@pytest.mark.slow
def test_a_search_of_the_same_seed_is_the_same(here, monkeypatch):
    monkeypatch.setattr(actions, "KNOWN", ())  # they come first whatever the seed
    data = pictures(is_mirrored_later=True)
    model = trained(data)
    first, second = (policies(model, data, trials=3, seeds=2).as_json() for _ in range(2))
    assert first == second
    assert policies(model, data, trials=3, seeds=2, seed=1).as_json()["trials"] != first["trials"]


def test_rungs_spend_the_same_epochs_each_and_end_with_all_of_them():
    assert rungs_of(27, 60) == [(27, 6), (9, 20), (3, 60)]
    assert rungs_of(18, 60) == [(18, 20), (6, 60)]
    assert rungs_of(1, 5) == [(1, 5)]
    for trials in (1, 2, 3, 7, 9, 40, 81):
        for epochs in (1, 2, 8, 9, 100):
            rungs = rungs_of(trials, epochs)
            assert rungs[0][0] == trials and rungs[-1][1] == epochs
            for before, after in pairwise(rungs):
                assert before[0] > after[0] and before[1] < after[1]


def test_every_drawn_policy_is_one_that_the_step_takes_and_none_is_drawn_twice():
    found = actions.drawn(60, 3)
    assert len({str(ops) for ops in found}) == 60
    for ops in found:
        assert 1 <= len(ops) <= actions.LENGTH
        for pair in ops:
            ((op, strength),) = pair.items()
            assert OPERATIONS[op][1] < strength <= OPERATIONS[op][2]
    assert {op for ops in found for pair in ops for op in pair} == set(OPERATIONS)
    assert actions.drawn(10, 3) == found[:10] != actions.drawn(10, 4)


def test_actions_of_one_operation_follow_each_other():
    flip, crop = (
        next(n for n, (op, _) in enumerate(actions.ACTIONS) if op == name) for name in ("flip", "crop")
    )
    assert actions.ops_of([crop, flip, crop + 1]) == [{"flip": 0.5}, {"crop": actions.LEVELS["crop"][1]}]
    assert actions.ops_of([]) == []


def test_lives_without_a_policy_or_a_training_are_refused(here):
    data = pictures(is_mirrored_later=True)
    with pytest.raises(UsageError, match="no `augment.policy`"):
        policies(li.pretrain.train(data, net="mlp", epochs=1), data)
    with pytest.raises(UsageError, match="not made by recorded steps"):
        policies(
            li.wrap(li.pretrain.train(data, net="mlp", epochs=1).torch(), task="image_classification"), data
        )


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_best_trials_are_listed_first(higher_is_better):
    trials = tuple(Trial(ops=[{"shift": value}], epochs=3, value=value) for value in (0.2, 0.1, 0.3))
    found = Policies(
        metric="score", search="halving", trials=trials, best=[], with_best=0.1, with_none=0.1, worth=0.0,
        low=0.0, high=0.0, level=0.95, verdict="no measurable effect", num_rows=9, num_seeds=1,
        model=Model.build(net=None, options={}, weights={}), higher_is_better=higher_is_better,
    )  # fmt: skip
    listed = [line.split()[0] for line in str(found).splitlines()[1:4]]
    assert listed == (["0.3000", "0.2000", "0.1000"] if higher_is_better else ["0.1000", "0.2000", "0.3000"])
