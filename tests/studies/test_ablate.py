"""Planted steps are told for what they are, nothing is computed twice, intervals agree with closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toy

import lichen as li
from lichen.core import step
from lichen.core.digest import digest_bytes
from lichen.core.errors import UsageError
from lichen.core.lineage import Made
from lichen.core.replay import replay, stand_in
from lichen.core.session import current, opened
from lichen.core.value import Memory
from lichen.engine.scores.intervals import of as interval
from lichen.engine.scores.intervals import student_quantile
from lichen.studies.ablate import _removal, ablate

NUM_ROWS = 400


def a_problem(seed: int) -> li.Dataset:
    """Rows (x1, x2, y) of a noisy line, as bytes of float64 per split."""
    generator, memory, splits = np.random.default_rng(seed), Memory(), {}
    for name in ("train", "validation"):
        x_N2 = generator.normal(size=(NUM_ROWS, 2))
        y_N = x_N2 @ [2.0, -1.0] + generator.normal(size=NUM_ROWS)
        rows = np.column_stack([x_N2, y_N]).tobytes()
        splits[name] = {
            "num_rows": NUM_ROWS,
            "digest": digest_bytes(rows),
            "rows": {"blob": memory.put(rows)},
        }
    return li.Dataset(
        manifest={"kind": "dataset", "schema": {}, "policy": [], "splits": splits}, blobs=memory
    )


def rows_of(data: li.Dataset, split: str) -> np.ndarray:
    return np.frombuffer(data.blobs.get(data.splits[split]["rows"]["blob"])).reshape(-1, 3)


@li.step
def draw(*, problem: li.Natural = 0) -> li.Dataset:
    """The rows; their seed is no option called seed, so that sweeps keep them."""
    return a_problem(problem)


@li.step
def fit(data: li.Dataset, *, seed: li.Seed = 0) -> li.Model:
    """Half of the way to the least squares solution, from a random start."""
    rows_N3 = rows_of(data, "train")
    best, *_ = np.linalg.lstsq(rows_N3[:, :2], rows_N3[:, 2], rcond=None)
    return toy.a_model(*(0.5 * best + 0.02 * np.random.default_rng(seed).normal(size=2)))


@li.step
def polish(model: li.Model, data: li.Dataset) -> li.Model:
    """The rest of the way: helps."""
    rows_N3 = rows_of(data, "train")
    best, *_ = np.linalg.lstsq(rows_N3[:, :2], rows_N3[:, 2], rcond=None)
    return toy.a_model(*(toy.numbers(model) + 0.9 * (best - toy.numbers(model))))


@li.step
def useless(model: li.Model, *, seed: li.Seed = 0) -> li.Model:
    """Moves weights by nothing that matters."""
    return toy.a_model(*(toy.numbers(model) + 1e-3 * np.random.default_rng(seed).normal(size=2)))


@li.step
def harmful(model: li.Model) -> li.Model:
    """Moves one weight away: about ten standard errors of the rows' losses."""
    return toy.a_model(*(toy.numbers(model) + [0.0, 0.7]))


@li.step
def evaluate(model: li.Model, data: li.Dataset) -> li.Scores:
    """The negative squared error of every row of validation."""
    rows_N3 = rows_of(data, "validation")
    return toy.scores_of(model, data, -((rows_N3[:, :2] @ toy.numbers(model) - rows_N3[:, 2]) ** 2))


@pytest.fixture
def events(tmp_path, monkeypatch):
    """What happens in a run whose judge is the step above."""
    monkeypatch.setitem(step.REGISTERED, "assess.evaluate", evaluate)
    heard = []
    with opened(tmp_path / ".lichen", sinks=(heard.append,)):
        yield heard


def a_life(problem: int) -> li.Model:
    data = draw(problem=problem)
    return harmful(useless(polish(fit(data, seed=problem), data), seed=problem))


@pytest.mark.parametrize(("num_problems", "at_least"), [(6, 4), pytest.param(20, 17, marks=pytest.mark.slow)])
def test_a_useless_and_a_harmful_step_are_told_for_what_they_are(events, num_problems, at_least):
    num_right, num_helps = 0, 0
    for problem in range(num_problems):
        found = ablate(a_life(problem), seeds=3)
        num_right += (
            found["useless"].verdict == "no measurable effect" and found["harmful"].verdict == "harms"
        )
        num_helps += found["polish"].verdict == "helps"
        harm = found["harmful"]
        assert harm.worth < 0 and abs(harm.worth) > 4 * (harm.high - harm.low) / 2 / 4.3, (
            "a planted effect of 4 errors"
        )
        assert [row.step.rpartition(":")[2] for row in found.rows] == ["polish", "useless", "harmful"]
        assert [name.rpartition(":")[2] for name in found.kept] == ["draw", "fit"]
    print(f"both recognised in {num_right}/{num_problems}, the helpful one in {num_helps}")
    assert num_right >= at_least and num_helps >= at_least


def test_nothing_is_computed_twice(events):
    for _ in range(2):
        ablate(a_life(1), seeds=3)
    started = [event["key"] for event in events if event["kind"] == "step.start"]
    assert len(started) == len(set(started)) > 20


def test_the_count_of_computations_catches_a_store_that_forgets(events, monkeypatch):
    monkeypatch.setattr("lichen.core.calling._hit", lambda *args: None)
    ablate(a_life(1), seeds=1)
    started = [event["key"] for event in events if event["kind"] == "step.start"]
    assert len(started) > len(set(started))


def test_a_step_at_its_neutral_options_is_kept_and_another_is_neutralised(events):
    data = draw(problem=1)
    found = ablate(toy.prune(toy.prune(fit(data), share=0.0), share=0.5), data, seeds=2)
    assert [row.step for row in found.rows] == ["toy:prune"]
    assert found.kept.count("toy:prune") == 1
    assert found["prune"].verdict == "harms" and found["prune"].parameters == (2, 2)


def test_a_life_without_a_step_stops_its_training_when_it_has_to(tmp_path):
    """The recorded training is made one that never stopped; without a step it waits as it is told to."""
    heard = []
    with opened(tmp_path / ".lichen", sinks=(heard.append,)):
        data = li.augment.policy(li.load("digits", num_train=40, validation=0.1), ops=["crop"])
        model = li.pretrain.train(data, net="mlp", net_options={"width": 4}, epochs=5, patience=1, rate=1e-9,
                                  precision="float32")  # fmt: skip
        call = model.made.call
        late = replace(call, decisions={**call.decisions, "stop": {"epoch": 99, "best": 1}})
        heard.clear()
        ablate(model.with_made(Made(late)), data, seeds=1)
    stops = [event for event in heard if event["kind"] == "decision" and event["name"] == "stop"]
    assert [event["origin"] for event in stops] == ["measured"]
    assert stops[0]["choice"] == call.decisions["stop"]


def test_lives_without_anything_to_leave_out_are_refused(events):
    with pytest.raises(UsageError, match="no step of this life"):
        ablate(fit(draw(problem=1)))
    with pytest.raises(UsageError, match="not made by recorded steps"):
        ablate(toy.a_model(1.0))
    with pytest.raises(UsageError, match="no Dataset or Environment to score on"):
        ablate(toy.prune(toy.draw(seed=1)))


def test_it_reads_as_a_table_and_as_json(events):
    import json

    found = ablate(a_life(1), seeds=2)
    assert "harms" in str(found) and "95%" in str(found)
    assert json.loads(json.dumps(found.as_json()))["rows"][2]["verdict"] == "harms"


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3.7, 10, 99, 999, 1001, 12_345, 1e6, 1e9])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_quantiles_of_t_are_scipys(freedom, level):
    special = pytest.importorskip("scipy.special")
    assert student_quantile(0.5 + level / 2, freedom) == pytest.approx(
        special.stdtrit(freedom, 0.5 + level / 2), rel=2e-5
    )


def test_an_interval_over_seeds_alone_is_students():
    special = pytest.importorskip("scipy.special")
    of_seeds = np.array([0.1, 0.4, 0.2, 0.6])
    reach = special.stdtrit(3, 0.975) * of_seeds.std(ddof=1) / 2
    found = interval(np.repeat(of_seeds[:, None], 50, axis=1), 0.95)
    assert found == pytest.approx(
        (of_seeds.mean(), of_seeds.mean() - reach, of_seeds.mean() + reach), rel=1e-6
    )


def test_an_interval_over_rows_alone_is_the_normal_one():
    rows = np.random.default_rng(0).normal(0.3, 1.0, 2000)
    reach = 1.96 * rows.std() / 2000**0.5
    found = interval(rows[None], 0.95)
    assert found == pytest.approx((rows.mean(), rows.mean() - reach, rows.mean() + reach), abs=0.2 * reach)


def test_intervals_cover_as_often_as_they_say():
    generator, num_covered = np.random.default_rng(0), 0
    for _ in range(200):
        differences_SN = 0.2 + 0.1 * generator.normal(size=(3, 1)) + generator.normal(size=(1, 100))
        _, low, high = interval(differences_SN, 0.9)
        num_covered += low <= 0.2 <= high
    assert 165 <= num_covered <= 198, "90 % of 200 is 180, with a standard error of 4"


def test_no_spread_is_no_interval():
    assert interval(np.zeros((3, 10)), 0.95) == (0.0, 0.0, 0.0)
    assert interval(np.full((1, 1), 2.0), 0.95) == (2.0, 2.0, 2.0)


@li.step(without="student")
def teach(model: li.Model, data: li.Dataset, student: li.Model | None = None) -> li.Model:
    """What the student becomes; it is the student that a life has without it."""
    return toy.a_model(*toy.numbers(model))


@li.step
def export(model: li.Model | li.Program) -> li.Program:
    """A Program of a Model, or another one of a Program."""
    return toy.freeze.fn(model)


def test_the_value_that_a_step_names_stands_in_for_it(events):
    data, teacher, student = toy.rows(seed=1), toy.draw(seed=1), toy.draw(seed=2)
    taught = teach(teacher, data, student).made.call
    assert stand_in(taught) == "student"
    assert replay(Made(taught), current(), without={taught.id}).digest == student.digest
    alone = teach(teacher, data).made.call
    assert stand_in(alone) == "model"
    assert replay(Made(alone), current(), without={alone.id}).digest == teacher.digest


def test_an_export_of_a_model_has_nothing_to_stand_in_and_is_kept(events):
    data = draw(problem=1)
    made = export(polish(fit(data), data))
    assert stand_in(made.made.call) is None
    assert _removal(made.made.call) is None
