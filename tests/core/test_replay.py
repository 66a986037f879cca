"""A life goes on from other data as if these had been there, and nothing of what made the old ones runs."""

import pytest
import toy

from lichen.core.replay import replay
from lichen.core.session import opened


@pytest.fixture
def here(tmp_path):
    started = []
    with opened(tmp_path / ".lichen", sinks=(started.append,)) as session:
        yield session, started


def steps(started):
    return [event["step"].rpartition(":")[2] for event in started if event["kind"] == "step.start"]


def test_what_follows_is_computed_from_the_other_value_and_what_led_there_is_not(here):
    session, started = here
    one, other = toy.rows(seed=1), toy.rows(seed=2)
    model = toy.tune(toy.fit(one), one)
    started.clear()
    found = replay(model.made, session, instead={one.digest: other}, seed=7)
    assert steps(started) == ["fit", "tune"]
    again = toy.fit(other, seed=found.made.call.history()[-2].options["seed"])
    assert found.digest == toy.tune(again, other).digest != model.digest


def test_values_from_outside_are_replaced_too(here):
    session, _ = here
    one, other = toy.a_dataset(b"abcd"), toy.a_dataset(b"wxyz")
    model = toy.fit(one)
    assert replay(model.made, session, instead={one.digest: other}).digest == toy.fit(other).digest
    assert replay(model.made, session, instead={}).digest == model.digest


def test_decisions_about_other_inputs_are_measured_again(here):
    session, started = here
    one, other = toy.rows(seed=1), toy.rows(seed=2)
    model = toy.tune(toy.choose(one), one)
    started.clear()
    replay(model.made, session, instead={one.digest: other})
    origins = [event["origin"] for event in started if event["kind"] == "decision"]
    assert "replayed" not in origins and "measured" in origins


@pytest.mark.parametrize("change", ["options", "without", "seed"])
def test_what_follows_a_change_decides_for_itself_and_what_does_not_as_before(here, change):
    session, started = here
    changed, kept = (toy.blend(toy.rows(seed=seed), toy.rows(seed=seed + 1)) for seed in (1, 3))
    model = toy.merge(toy.choose(changed), toy.choose(kept))
    rows, blend = changed.made.call.history()[0], changed.made.call
    how = {"options": {"options": {rows.id: {"length": 5}}}, "without": {"without": {blend.id}},
           "seed": {"seed": 7}}[change]  # fmt: skip
    session.is_fresh = True
    started.clear()
    replay(model.made, session, **how)
    origins = [event["origin"] for event in started if event["kind"] == "decision"]
    both = {"measured"} if change == "seed" else {"measured", "replayed"}
    assert set(origins) == both and len(origins) == 4
    started.clear()
    replay(model.made, session)
    assert {event["origin"] for event in started if event["kind"] == "decision"} == {"replayed"}


def test_a_call_that_is_passed_over_does_not_make_its_other_inputs_run(here):
    session, started = here
    data, other = toy.rows(seed=1), toy.rows(seed=2)
    model = toy.fit(toy.blend(data, other))
    blend = model.made.call.history()[-2]
    assert blend.step == "toy:blend"
    session.is_fresh = True
    started.clear()
    assert replay(model.made, session, without={blend.id}).digest == toy.fit(data).digest
    assert steps(started).count("rows") == 1
