"""Synthetic rows are taken when they win on real rows, and only then."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lichen as li
from lichen.core import step
from lichen.core.array import Array
from lichen.core.errors import LeakError, UsageError
from lichen.core.model import Model
from lichen.core.session import opened
from lichen.engine.search.trial import Trial
from lichen.studies.worth_of_synthetic import worth_of_synthetic

SIDE, NUM_CLASSES, NOISE = 6, 3, 60.0


def pictures(num_rows, seed, *, noise=NOISE):
    """Three fixed patterns under noise: grey pictures and their classes."""
    patterns = np.random.default_rng(7).uniform(60, 190, (NUM_CLASSES, 1, SIDE, SIDE))
    draws = np.random.default_rng(seed)
    targets = np.arange(num_rows) % NUM_CLASSES
    images = patterns[targets] + draws.normal(0, noise, (num_rows, 1, SIDE, SIDE))
    return images.clip(0, 255).astype("uint8"), targets


def real(seed, num_train=30):
    images, targets = pictures(num_train + 240, [seed, 0])
    splits = ["train"] * num_train + ["validation"] * 240
    return li.arrays(images, targets, labels=["a", "b", "c"], splits=splits)


def held_back(seed, num_rows=300):
    """More rows of the same sort: the best that a generator could draw."""
    images, targets = pictures(num_rows, [seed, 1])
    return li.arrays(images, targets, labels=["a", "b", "c"], validation=0, test=0)


def mislabelled(seed, num_rows=300):
    """Good pictures under labels that have nothing to do with them."""
    images, _ = pictures(num_rows, [seed, 1])
    targets = np.random.default_rng(seed).integers(0, NUM_CLASSES, num_rows)
    return li.arrays(images, targets, labels=["a", "b", "c"], validation=0, test=0)


def copies(seed, data):
    """The rows that are there already."""
    rows = data.rows("train")
    chosen = np.random.default_rng(seed).integers(0, len(rows), 300)
    return li.arrays(rows.images[chosen], rows.targets[chosen], ["a", "b", "c"], validation=0, test=0)


@li.step
def ridge(data: li.Dataset, *, epochs: li.Count = 2, seed: li.Seed = 0) -> li.Model:
    """Least squares from pixels to classes, on as many rows as the epochs have, drawn again."""
    rows = data.rows("train")
    x_NF = rows.images.reshape(len(rows), -1) / 255.0 - 0.5
    draws = np.random.default_rng(seed)
    for entry in data.policy:  # an augmentation that moves pixels about
        x_NF = x_NF + draws.normal(0, 0.1 * entry["strength"], x_NF.shape)
    x_NF, y_NK = (
        x_NF[picked := draws.integers(0, len(x_NF), epochs * len(x_NF))],
        np.eye(NUM_CLASSES)[rows.targets[picked]],
    )
    w_FK = np.linalg.solve(x_NF.T @ x_NF + 0.1 * np.eye(x_NF.shape[1]), x_NF.T @ y_NK)
    return Model.build(net="toy:net", options={}, weights={"w": Array.of(w_FK)})


@li.step(splits="split")
def evaluate(model: li.Model, data: li.Dataset, *, split: str = "validation") -> li.Scores:
    """Whether each row is told right."""
    rows = data.rows(split)
    answers_N = (rows.images.reshape(len(rows), -1) / 255.0 - 0.5) @ model.weights()["w"].numpy()
    outcome = (answers_N.argmax(1) == rows.targets).astype("float32")
    entry = {"value": float(outcome.mean()), "low": 0.0, "high": 1.0, "level": 0.95}
    return li.Scores.build(subject=model.digest, data=data.digest, split=split, num_rows=len(outcome),
                           headline="accuracy", metrics={"accuracy": entry},
                           answers={"outcome": Array.of(outcome)})  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """One store for all: an arm that was trained for one question is not trained for the next."""
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(tmp_path_factory.mktemp("here") / ".lichen") as session,
    ):
        patch.setitem(step.REGISTERED, "assess.evaluate", evaluate)
        yield session


def judged(data, synthetic, seeds=5):
    return worth_of_synthetic(ridge(data), synthetic, ops=["crop"], seeds=seeds)


@pytest.mark.parametrize("num_problems", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_rows_held_back_are_accepted_and_wrong_labels_and_copies_are_not(here, num_problems):
    accepted = {"held back": 0, "mislabelled": 0, "copies": 0}
    for seed in range(num_problems):
        data = real(seed)
        kinds = {"held back": held_back(seed), "mislabelled": mislabelled(seed)}
        if num_problems > 1:
            kinds["copies"] = copies(seed, data)
        for name, synthetic in kinds.items():
            found = judged(data, synthetic)
            accepted[name] += found.is_accepted
            assert found.is_accepted != found.says_no
            assert (found.data.num_synthetic > 0) == found.is_accepted
            assert found.is_accepted or found.data.digest == data.digest
    assert accepted["mislabelled"] == accepted["copies"] == 0
    assert accepted["held back"] >= 0.9 * num_problems


@pytest.mark.slow
def test_a_judge_that_compares_with_the_plain_arm_alone_is_fooled_by_steps(here, monkeypatch):
    """A planted training that only gains by its length: extra rows help no more than extra epochs."""

    @li.step
    def longer(data: li.Dataset, *, epochs: li.Count = 2, seed: li.Seed = 0) -> li.Model:
        """Better with every row that it has seen, whatever the rows are."""
        rows, steps = data.rows("train"), epochs * data.num_rows("train")
        patterns, _ = pictures(NUM_CLASSES, 0, noise=0.0)
        w_FK = patterns.reshape(NUM_CLASSES, -1).T / 255.0 - 0.5
        noise_FK = np.random.default_rng(seed).normal(0, 30.0 / steps, w_FK.shape)
        assert len(rows)
        return Model.build(net="toy:net", options={}, weights={"w": Array.of(w_FK + noise_FK)})

    data = real(0)
    found = worth_of_synthetic(longer(data), mislabelled(0), ops=["crop"])
    values = {arm.name: arm.value for arm in found.arms}
    assert values["real and synthetic"] > values["real"] + 0.05
    assert not found.is_accepted and found.rival.endswith("for as many steps")


@pytest.mark.slow
def test_the_life_that_added_the_rows_itself_is_judged_the_same(here):
    data, synthetic = real(1), held_back(1)
    outside = judged(data, synthetic, seeds=2)
    inside = worth_of_synthetic(ridge(li.generate.extend(data, synthetic)), ops=["crop"], seeds=2)
    given = worth_of_synthetic(ridge(data), li.generate.extend(data, synthetic), ops=["crop"], seeds=2)
    assert outside.as_json() == given.as_json()
    assert outside.arms == inside.arms and outside.data == inside.data


def test_nothing_but_the_training_is_repeated(here):
    data = real(1)
    judged(data, held_back(1), seeds=2)
    computed = here.counts["computed"]
    judged(data, held_back(1), seeds=2)
    assert here.counts["computed"] == computed


def test_the_life_that_is_judged_has_no_step_twice_in_the_record(here):
    """The newest call that made a value tells its life, and a study's calls are the newest."""
    data = li.augment.policy(li.generate.extend(real(2), held_back(2)), ops=["crop"])
    worth_of_synthetic(ridge(data), seeds=1)
    made = here.store.origin(data.digest)
    assert [call.step for call in made.call.history()].count("augment.policy") == 1


def test_rows_learnt_from_validation_are_refused(here):
    """A planted generator that has seen the rows that judge."""
    data = real(2)
    seen, fresh = data.rows("validation"), held_back(2).rows("train")
    images, targets = (np.concatenate([getattr(rows, name)[:40] for rows in (seen, fresh)])
                       for name in ("images", "targets"))  # fmt: skip
    with pytest.raises(LeakError, match="40 rows of validation stand in what"):
        judged(data, li.arrays(images, targets, ["a", "b", "c"], validation=0, test=0))


def test_lives_without_rows_to_judge_are_refused(here):
    data = real(1)
    with pytest.raises(UsageError, match="no synthetic rows to judge"):
        worth_of_synthetic(ridge(data))
    with pytest.raises(UsageError, match="not made by recorded steps"):
        worth_of_synthetic(Model.build(net="toy:net", options={}, weights={}), held_back(1))
    with pytest.raises(UsageError, match="real rows beside the synthetic"):
        worth_of_synthetic(ridge(data), li.generate.extend(real(3), held_back(1)))


def test_the_classical_arm_is_the_lifes_own_policy_with_what_it_favours(here):
    data = li.augment.policy(real(1), ops=[{"trivialaugment": 1.0}], favour={"rotate": 3})
    trial = Trial(ridge(data).made, held_back(1), None, here)
    plans = [plan for plan in trial.arms() if plan.is_augmented]
    assert plans and all(trial.data_of(plan).policy == data.policy for plan in plans)


def test_it_reads_as_words_and_as_json(here):
    found = judged(real(1), mislabelled(1), seeds=2)
    assert "the real data are returned" in str(found) and "at 95%" in str(found)
    assert json.loads(json.dumps(found.as_json()))["verdict"] in ("harms", "no measurable effect")
