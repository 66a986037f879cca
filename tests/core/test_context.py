"""Decisions are measured once, remembered per machine and replayed; checkpoints give back what was put."""

from __future__ import annotations

import numpy as np
import pytest
import toy

from lichen.core import machine
from lichen.core.array import Array
from lichen.core.context import Context
from lichen.core.replay import replay
from lichen.core.session import Session, opened, using


@pytest.fixture(autouse=True)
def measured():
    toy.MEASURED.clear()
    return toy.MEASURED


def test_a_decision_is_measured_once_and_remembered_for_what_it_is_about(session, measured):
    first = toy.choose(toy.rows(seed=1), about="8")
    assert first.made.call.decisions == {"threads": {"threads": 1}, "stopped": None}
    assert toy.choose(toy.rows(seed=2), about="8").made.call.decisions["threads"] == {"threads": 1}
    assert len(measured) == 1
    assert toy.choose(toy.rows(seed=3), about="16").made.call.decisions["threads"] == {"threads": 2}


def test_a_hit_measures_nothing(session, measured):
    toy.choose(toy.rows(seed=1))
    toy.choose(toy.rows(seed=1))
    assert len(measured) == 1


def test_an_accident_is_never_remembered(session, measured):
    for seed in range(3):
        toy.choose(toy.rows(seed=seed))
    assert len(measured) == 3
    assert session.store.records.rows("SELECT * FROM decisions") == []


def test_a_choice_of_none_is_remembered_too(session):
    context, asked = Context(session, "s", "k"), []
    for _ in range(2):
        assert context.decide("stop", lambda: asked.append(1), about={}) is None
    assert len(asked) == 1


def test_a_choice_to_be_replayed_can_be_asked_for_before_it_is_taken(session):
    context = Context(session, "s", "k", replayed={"stop": {"round": 3}})
    assert context.recorded("stop") == {"round": 3} and context.recorded("retry") is None
    assert context.decisions == {} and Context(session, "s", "k").recorded("stop") is None


def test_another_machine_measures_for_itself(session, measured, monkeypatch):
    toy.choose(toy.rows(seed=1), about="8")
    monkeypatch.setattr(machine, "fingerprint", lambda: "other")
    toy.choose(toy.rows(seed=2), about="8")
    assert len(measured) == 2


def test_a_session_may_measure_again(tmp_path, measured):
    with opened(tmp_path / "a"):
        toy.choose(toy.rows(seed=1), about="8")
    with opened(tmp_path / "a", measures_again=True):
        assert toy.choose(toy.rows(seed=2), about="8").made.call.decisions["threads"] == {"threads": 2}
    with opened(tmp_path / "a"):
        assert toy.choose(toy.rows(seed=3), about="8").made.call.decisions["threads"] == {"threads": 2}


def test_decisions_are_remembered_without_a_store(measured):
    with using(Session(store=None)):
        for seed in range(3):
            toy.choose(toy.rows(seed=seed), about="8")
    assert len(measured) == 1


def test_a_replay_takes_recorded_decisions_and_another_life_measures(tmp_path, measured):
    with opened(tmp_path / "a"):
        value = toy.choose(toy.rows(seed=1))
    measured += [0] * 10
    with opened(tmp_path / "b") as session:
        assert replay(value.made, session) == value
        assert len(measured) == 11
    with opened(tmp_path / "c") as session:
        assert replay(value.made, session, decides_again=True) != value
    with opened(tmp_path / "d") as session:
        options = {value.made.call.id: {"about": "8"}}
        assert replay(value.made, session, options=options).made.call.decisions["threads"] == {"threads": 13}


def test_a_checkpoint_gives_back_what_was_put(session):
    arrays = {
        "small": Array.of(np.arange(3, dtype="int8")),
        "large": Array.of(np.linspace(0, 1, 5000)),
        "empty": Array.of(np.zeros((0, 4), dtype="float32")),
        "scalar": Array.of(np.float64(0.1)),
    }
    state = {"epoch": 3, "rate": 0.1 + 0.2, "best": None, "history": [[1, 2.5], []]}
    context = Context(session, "s", "k" * 64)
    assert context.restore() is None
    context.checkpoint({"epoch": 1}, {})
    context.checkpoint(state, arrays)
    found_state, found = Context(Session(store=session.store), "s", "k" * 64).restore()
    assert found_state == state
    assert found.keys() == arrays.keys()
    for name, array in found.items():
        assert (array.dtype, array.shape, bytes(array.data)) == (
            arrays[name].dtype, arrays[name].shape, bytes(arrays[name].data))  # fmt: skip
    assert Context(session, "s", "other").restore() is None


def test_a_killed_call_decides_as_it_had_also_where_all_is_measured_again(session):
    again, choices = Session(store=session.store, measures_again=True), iter(range(9))
    killed = Context(again, "s", "k")
    assert killed.decide("features.execution", lambda: next(choices), about={"batch": 8}) == 0
    killed.decide("retry", lambda: 0.5)
    killed.checkpoint({}, {})
    resumed = Context(again, "s", "k")
    assert resumed.decide("features.execution", lambda: next(choices), about={"batch": 8}) == 0
    assert resumed.decide("retry", lambda: 0.25) == 0.25  # an accident is another one
    assert Context(again, "s", "other").decide("features.execution", lambda: next(choices), about={}) == 1


def test_an_unchanged_tensor_is_not_written_to_a_checkpoint_again(session):
    context, frozen = Context(session, "s", "k"), Array.of(np.zeros(100_000))
    context.checkpoint({}, {"frozen": frozen, "head": Array.of(np.zeros(1000))})
    kept = session.store.unfinished.objects("k")
    before = {blob: kept.path(blob).stat().st_ino for blob in kept}
    context.checkpoint({}, {"frozen": frozen, "head": Array.of(np.ones(1000))})
    after = {blob: kept.path(blob).stat().st_ino for blob in kept}
    assert len(after) == len(before) == 2  # what the last checkpoint does not need is gone
    assert len(after.items() & before.items()) == 1


def test_a_finished_call_leaves_no_checkpoint(session):
    import lichen as li

    @li.step
    def long(model: li.Model, *, run: li.Run) -> li.Model:
        run.checkpoint({"epoch": 1}, {"w": Array.of(np.ones(2))})
        assert run.restore()[0] == {"epoch": 1}
        return toy.a_model(5.0)

    long(toy.a_model(1.0))
    assert session.store.records.rows("SELECT * FROM checkpoints") == []
    assert list((session.store.folder / "unfinished").iterdir()) == []


def test_events_of_a_run_are_one_json_line_each_and_replayable(tmp_path):
    from lichen.core import events

    heard, told = [], []
    with opened(tmp_path / ".lichen", sinks=(heard.append,)) as session:
        toy.tune(toy.draw(seed=1), toy.rows())
    (path,) = (tmp_path / ".lichen" / "runs").glob("*/events.jsonl")
    events.replay(path, told.append)
    assert [event["kind"] for event in told] == [
        event["kind"] for event in heard if event["kind"] != "progress"
    ]
    assert told[0]["kind"] == "run.start" and told[-1]["kind"] == "run.end"
    assert told[-1]["status"] == "done" and told[-1]["computed"] == session.counts["computed"] == 3
    with path.open("a") as file:
        file.write('{"half": ')
    assert len(list(events.read(path))) == len(told)
