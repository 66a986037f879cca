"""Synthetic rows of a table meet as many rows between real ones, of the same classes, for as many steps."""

import numpy as np
import pytest

import lichen as li
from lichen.core import step
from lichen.core.array import Array
from lichen.core.model import Model
from lichen.core.session import opened
from lichen.data import extension, manifest
from lichen.engine.search.trial import Trial

NUM_COLUMNS, LABELS = 12, ["low", "high"]


def cells(num_rows, seed):
    """Twelve numbers that each say a little of the class, and the classes."""
    draws = np.random.default_rng(seed)
    y = draws.integers(0, 2, num_rows)
    x = draws.normal(0.45 * (2 * y[:, None] - 1), 1.0, (num_rows, NUM_COLUMNS))
    return {f"c{place}": x[:, place].tolist() for place in range(NUM_COLUMNS)}, y


def real(seed, num_train=30):
    columns, y = cells(num_train + 400, [seed, 0])
    return li.table(columns, y, LABELS, ["train"] * num_train + ["validation"] * 400)


def held_back(seed, *, is_right=True, num_rows=300):
    """More rows of the same source: the best that a generator could make; or under labels by chance."""
    columns, y = cells(num_rows, [seed, 1])
    told = y if is_right else np.random.default_rng(seed).integers(0, 2, num_rows)
    return li.table(columns, told, LABELS, validation=0, test=0)


def numbers(rows):
    return np.array([list(record.values()) for record in rows.records], float)


@li.step
def ridge(data: li.Dataset, *, epochs: li.Count = 2, seed: li.Seed = 0) -> li.Model:
    """Least squares from cells to classes, on as many rows as the epochs have, drawn again."""
    rows = data.rows("train")
    chosen = np.random.default_rng(seed).integers(0, len(rows), epochs * len(rows))
    x_NF, y_N = numbers(rows)[chosen], 2.0 * rows.targets[chosen] - 1.0
    w_F = np.linalg.solve(x_NF.T @ x_NF + np.eye(NUM_COLUMNS), x_NF.T @ y_N)
    return Model.build(net="toy:net", options={}, weights={"w": Array.of(w_F)})


@li.step(splits="split")
def evaluate(model: li.Model, data: li.Dataset, *, split: str = "validation") -> li.Scores:
    """Whether each row is told right."""
    rows = data.rows(split)
    outcome = ((numbers(rows) @ model.weights()["w"].numpy() > 0) == rows.targets).astype("float32")
    entry = {"value": float(outcome.mean()), "low": 0.0, "high": 1.0, "level": 0.95}
    return li.Scores.build(subject=model.digest, data=data.digest, split=split, num_rows=len(outcome),
                           headline="accuracy", metrics={"accuracy": entry},
                           answers={"outcome": Array.of(outcome)})  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(tmp_path_factory.mktemp("here") / ".lichen") as session,
    ):
        patch.setitem(step.REGISTERED, "assess.evaluate", evaluate)
        yield session


def of_class(data):
    return np.bincount(data.rows("train").targets, minlength=2).tolist()


def added(data, origin):
    """The ids of train rows that come from somewhere."""
    found = extension.provenance(data)
    return set(manifest.ids(data, "train")[np.array(found.names)[found.codes] == origin].tolist())


def test_rows_between_are_as_many_of_each_class_and_the_same_in_both_arms(here):
    data = real(0)
    trial = Trial(ridge(data).made, held_back(0, num_rows=90), None, here)
    plans = {plan.name: plan for plan in trial.arms()}
    made = {name: trial.data_of(plan) for name, plan in plans.items()}
    assert of_class(made["real, with rows between"]) == of_class(made["real and synthetic"])
    both = made["real and synthetic, with rows between"]
    assert of_class(both) == [2 * more - old for more, old in zip(
        of_class(made["real and synthetic"]), of_class(data), strict=True)]  # fmt: skip
    between = [added(one, extension.BETWEEN) for one in (made["real, with rows between"], both)]
    assert between[0] == between[1] and len(between[0]) == 90
    assert made["real"].splits["train"] == data.splits["train"]


def test_the_real_rows_get_as_many_steps_in_every_way(here):
    trial = Trial(ridge(real(0)).made, held_back(0, num_rows=90), None, here)
    steps = {plan.name: sum(plan.epochs) * trial.data_of(plan).num_rows("train") for plan in trial.arms()}
    for way in ("", ", with rows between"):
        assert steps[f"real{way} for as many steps"] == pytest.approx(
            steps[f"real and synthetic{way}"], rel=0.3
        )


def test_good_rows_are_accepted_and_wrong_ones_are_not(here):
    data = real(1)
    good = li.studies.worth_of_synthetic(ridge(data), held_back(1), seeds=3)
    assert good.is_accepted and good.data.num_synthetic == 300
    wrong = li.studies.worth_of_synthetic(ridge(data), held_back(1, is_right=False), seeds=3)
    assert not wrong.is_accepted and wrong.data.digest == data.digest
    assert "with rows between" in str(wrong)


@li.step
def longer(data: li.Dataset, *, epochs: li.Count = 2, seed: li.Seed = 0) -> li.Model:
    """Better with every row that it has seen, whatever the rows are."""
    steps = epochs * data.num_rows("train")
    noise_F = np.random.default_rng(seed).normal(0, 120.0 / steps, NUM_COLUMNS)
    return Model.build(net="toy:net", options={}, weights={"w": Array.of(1.0 + noise_F)})


@li.step
def recover(model: li.Model, data: li.Dataset, *, epochs: li.Count = 1) -> li.Model:
    """Learns nothing, however long."""
    return model.with_weights(model.weights(), assets={"epochs": epochs, "rows": data.num_rows("train")})


def test_a_life_of_two_trainings_does_not_win_by_the_steps_of_its_first(here):
    data = real(3)
    found = li.studies.worth_of_synthetic(
        recover(longer(data), data), held_back(3, is_right=False), ops=[], seeds=3
    )
    values = {arm.name: arm.value for arm in found.arms}
    assert values["real and synthetic"] > values["real"] + 0.05
    assert not found.is_accepted and found.rival == "real for as many steps"
    assert {arm.name: arm.epochs for arm in found.arms} == {
        "real": 2 + 1, "real for as many steps": 22 + 11, "real and synthetic": 2 + 1
    }  # fmt: skip


def test_rows_between_are_judged_themselves_where_a_life_has_them(here):
    data = li.augment.smote(real(2), ratio=1.0)
    found = li.studies.worth_of_synthetic(ridge(data), seeds=2)
    assert {arm.name for arm in found.arms} == {"real", "real for as many steps", "real and synthetic"}
    assert found.num_synthetic == 30 and not found.is_accepted


def test_no_classical_way_where_none_is_asked_for(here):
    trial = Trial(ridge(real(0)).made, held_back(0), [], here)
    assert not any(plan.is_augmented for plan in trial.arms())
