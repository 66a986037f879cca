"""Two lives side by side: what differs is named, what is equal is not."""

from __future__ import annotations

import pytest
import toy

from lichen.core.errors import UsageError
from lichen.core.session import opened
from lichen.studies.compare import compare


@pytest.fixture(autouse=True)
def session(tmp_path):
    with opened(tmp_path / ".lichen") as one:
        yield one


def a_life(rate=0.5, times=1):
    data = toy.rows(seed=1)
    return toy.tune(toy.fit(data, rate=rate), data, times=times)


def test_equal_lives_have_no_difference():
    found = compare(a_life(), a_life())
    assert found.first_difference is None
    assert [line for line in str(found).splitlines() if line.startswith(("~", "+", "-"))] == []


def test_a_changed_option_is_named_with_both_values():
    found = compare(a_life(rate=0.5), a_life(rate=0.7))
    assert found.first_difference == "toy:fit"
    by_step = {row.step: dict(row.differences) for row in found.rows}
    assert by_step["toy:rows"] == {}
    assert by_step["toy:fit"].pop("option rate") == (0.5, 0.7)
    assert set(by_step["toy:fit"]) == {"output"} and set(by_step["toy:tune"]) == {"output"}
    assert "option rate: 0.5 -> 0.7" in str(found)


def test_an_added_step_is_aligned():
    found = compare(a_life(), toy.prune(a_life()))
    assert [(row.step, row.left is None) for row in found.rows][-1] == ("toy:prune", True)
    assert "+ toy:prune" in str(found)
    assert "- toy:prune" in str(compare(toy.prune(a_life()), a_life()))


def test_decisions_are_compared():
    toy.MEASURED.clear()
    found = compare(toy.choose(toy.rows(seed=1)), toy.choose(toy.rows(seed=1), about="x"))
    (row,) = [row for row in found.rows if row.step == "toy:choose"]
    assert row.differences["decision threads"] == ({"threads": 1}, {"threads": 2})


def test_recorded_scores_stand_beside():
    one, two = a_life(), a_life(rate=0.7)
    toy.weigh(one, toy.rows(seed=1))
    found = compare(one, two)
    assert found.scores == {"validation share": (0.75, None)}
    assert "not measured" in str(found)


def test_scores_on_other_data_do_not_stand_for_those_on_the_lifes_own():
    one, two = a_life(), a_life(rate=0.7)
    for value in (one, two):
        toy.weigh(value, toy.rows(seed=9))
    assert compare(one, two).scores == {}


def test_values_without_lineage_are_refused():
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(a_life(), toy.a_model(1.0))
