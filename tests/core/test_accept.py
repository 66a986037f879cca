"""After an upgrade, accepted calls are found again and say so, and reproduce tells the truth."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from lichen.core import step
from lichen.core.accept import accept
from lichen.core.check import check
from lichen.core.errors import NotFoundError
from lichen.core.session import opened
from lichen.studies.reproduce import reproduce

STEPS = """
import lichen as li
import toy
from upgraded_helper import moved


@li.step
def first(*, seed: li.Seed = 0) -> li.Model:
    return toy.a_model(moved(seed))


@li.step
def second(model: li.Model, *, times: li.Count = 2) -> li.Model:
    return toy.a_model(*(toy.numbers(model) * times))
"""
HELPERS = {
    "old": "def moved(x):\n    return x + 1\n",
    "same": "def moved(x):\n    y = x + 1\n    return y\n",
    "other": "def moved(x):\n    return x + 2\n",
}


class Upgrades:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "upgraded.py").write_text(STEPS)

    def to(self, version: str):
        (self.folder / "upgraded_helper.py").write_text(HELPERS[version])
        for name in ("upgraded", "upgraded_helper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("upgraded")


@pytest.fixture
def upgrades(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Upgrades(tmp_path)
    for name in ("upgraded:first", "upgraded:second"):
        step.REGISTERED.pop(name, None)


def grown(code):
    return code.second(code.first(seed=3))


def test_accepted_calls_are_found_and_marked_and_reproduce_agrees(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        before = grown(upgrades.to("old"))
        code = upgrades.to("same")
        taken = accept(session.store)
        assert [call.step for call in taken] == ["upgraded:first", "upgraded:second"]
        computed = session.counts["computed"]
        after = grown(code)
        assert session.counts["computed"] == computed
        assert after == before and after.made.call.key != before.made.call.key
        assert [call.is_accepted for call in after.made.call.history()] == [True, True]
        assert session.store.call(after.made.call.id).is_accepted
        assert not session.store.call(before.made.call.id).is_accepted
        assert accept(session.store) == []
        assert check(session.store) == []
        assert reproduce(after).is_identical


def test_reproduce_names_what_was_wrongly_accepted(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        before = grown(upgrades.to("old"))
        code = upgrades.to("other")
        accept(session.store)
        after = grown(code)
        assert after == before, "accepted as told"
        found = reproduce(after)
        assert not found.is_identical and found.first_difference == "upgraded:first"


def test_without_accept_the_calls_are_computed_again(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        grown(upgrades.to("old"))
        grown(upgrades.to("same"))
        assert session.counts == {"computed": 4, "found": 0}, (
            "both steps stand in a module that imports the helper"
        )


def test_only_the_named_steps_are_accepted(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        grown(upgrades.to("old"))
        upgrades.to("same")
        assert [call.step for call in accept(session.store, ["upgraded:second"])] == ["upgraded:second"]
        with pytest.raises(NotFoundError):
            accept(session.store, ["upgraded:thirds"])


def test_what_was_computed_under_todays_code_is_left_alone(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        grown(upgrades.to("old"))
        code = upgrades.to("other")
        new = code.first(seed=3)
        assert [call.step for call in accept(session.store)] == ["upgraded:second"]
        assert code.first(seed=3) == new


def test_the_newest_of_several_versions_is_taken(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        grown(upgrades.to("old"))
        newest = grown(upgrades.to("other"))
        code = upgrades.to("same")
        accept(session.store)
        assert grown(code) == newest


def test_a_step_that_lost_an_option_is_passed_over(upgrades, tmp_path):
    with opened(tmp_path / ".lichen") as session:
        grown(upgrades.to("old"))
        (tmp_path / "upgraded.py").write_text(STEPS.replace("times", "factor"))
        upgrades.to("old")
        assert [call.step for call in accept(session.store)] == ["upgraded:first"]
