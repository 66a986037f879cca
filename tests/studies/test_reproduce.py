"""A life replayed in a fresh process gives the same bytes, or the first step that does not is named."""

from __future__ import annotations

import json
import linecache
import sys

import pytest
import toy

from lichen.core.context import Context
from lichen.core.errors import StepError, UsageError
from lichen.core.lineage import records_of
from lichen.core.session import opened
from lichen.studies.reproduce import reproduce


@pytest.fixture
def session(tmp_path):
    with opened(tmp_path / ".lichen") as one:
        yield one


def test_a_life_is_reproduced_bit_by_bit(session):
    two = toy.split(toy.tune(toy.draw(seed=3), toy.rows(seed=1), times=2))
    value = toy.merge(two.right, two.left)
    found = reproduce(value)
    assert found.is_identical and found.is_reproduced and found.is_same_environment
    assert [one.step for one in found.steps] == ["toy:rows", "toy:draw", "toy:tune", "toy:split", "toy:merge"]
    assert found.first_difference is None and "bit by bit" in str(found)


def test_decisions_are_replayed_as_they_were(session):
    toy.MEASURED[:] = [0] * 41
    value = toy.choose(toy.rows(seed=1))
    assert toy.numbers(value)[0] == 42
    assert reproduce(value).is_identical


def test_a_value_from_outside_is_found_in_the_store(session):
    assert reproduce(toy.tune(toy.a_model(2.0), toy.rows())).is_identical


def test_a_step_that_wavers_is_named_as_the_first_difference(session):
    value = toy.prune(toy.prune(toy.waver(toy.prune(toy.draw(seed=1))), share=0.25))
    found = reproduce(value)
    assert not found.is_identical and not found.is_reproduced
    assert found.first_difference == "toy:waver"
    assert [one.is_identical for one in found.steps] == [True, True, False, False, False]
    assert (
        "first difference at toy:waver" in str(found) and found.as_json()["first_difference"] == "toy:waver"
    )


def test_a_value_without_lineage_or_of_a_script_is_refused(session):
    with pytest.raises(UsageError, match="not made by recorded steps"):
        reproduce(toy.a_model(1.0))
    text = "import lichen as li\nimport toy\n\n@li.step\ndef mine(model: li.Model) -> li.Model:\n"
    text += "    return toy.a_model(1.0)\n"
    linecache.cache["<cell>"] = (len(text), None, text.splitlines(keepends=True), "<cell>")
    scope = {"__name__": "__main__"}
    exec(compile(text, "<cell>", "exec", dont_inherit=True), scope)
    with pytest.raises(UsageError, match="another process cannot import"):
        reproduce(scope["mine"](toy.draw()))


def test_a_replay_that_breaks_says_why(session, monkeypatch):
    value = toy.draw(seed=1)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(
        "sys.path", [place for place in __import__("sys").path if not place.endswith("tests")]
    )
    with pytest.raises(StepError, match="the replay failed"):
        reproduce(value)


def replayed(value, folder):
    """What the fresh process finds, found in this one."""
    folder.mkdir()
    request = {"calls": records_of(value.made.call), "field": value.made.field, "path": sys.path,
               "store": None, "digest": value.digest}  # fmt: skip
    (folder / "request.json").write_text(json.dumps(request))
    return sys.modules[reproduce.__module__]._replay_here(folder)


def test_the_same_device_is_the_same_environment(session, tmp_path, monkeypatch):
    """Else on a GPU every difference within the tolerance would count as reproduced."""
    monkeypatch.setattr(Context, "environment", lambda call: {"cpu": "a", "device": "b"})
    assert replayed(toy.draw(seed=1), tmp_path / "one")["is_same_environment"]


def test_every_call_is_compared_with_where_it_ran(session, tmp_path, monkeypatch):
    plain = Context.environment
    elsewhere = lambda call: {**plain(call), "device": "b"}  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(Context, "environment", elsewhere)
        first = toy.draw(seed=1)
    value = toy.prune(first)
    assert not replayed(value, tmp_path / "one")["is_same_environment"]
