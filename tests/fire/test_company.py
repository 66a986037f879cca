"""Many processes on one store: each step computed once, nobody fails, nothing alive is collected."""

import pytest
from fire import harness


def crowd(warm, folder, processes, rounds, **order):
    return warm(harness.lay(folder, "chain"), "crowd", processes=processes, rounds=rounds, **order)


def told(met):
    return [one for entry in met.said for one in entry.get("problems", ())]


def test_each_step_is_computed_once(warm, tmp_path, rounds=6):
    met = crowd(warm, tmp_path / "store", 8, rounds)
    assert (met.code, told(met)) == (0, [])
    assert sum(entry.get("computed", 0) for entry in met.said) == 4 * rounds
    assert list(harness._damages(tmp_path / "store")) == []


@pytest.mark.slow
def test_eight_processes_fifty_rounds(warm, tmp_path):
    test_each_step_is_computed_once(warm, tmp_path, rounds=50)


def test_a_missing_lease_is_seen(warm, tmp_path):
    met = crowd(warm, tmp_path / "store", 8, 6, defects=["no_lease"])
    assert sum(entry.get("computed", 0) for entry in met.said) > 24


def test_nothing_alive_is_collected(warm, tmp_path, rounds=12):
    met = crowd(warm, tmp_path / "store", 4, rounds, collects=True, own_seeds=True)
    assert (met.code, told(met)) == (0, [])
    assert list(harness._damages(tmp_path / "store")) == []
    assert sum(entry.get("collections", 0) for entry in met.said) > 3


@pytest.mark.slow
def test_nothing_alive_is_collected_from_four_writers_a_hundred_times(warm, tmp_path):
    test_nothing_alive_is_collected(warm, tmp_path, rounds=100)


def test_a_collector_that_does_not_wait_for_writers_is_seen(warm, tmp_path):
    met = crowd(warm, tmp_path / "store", 4, 30, collects=True, own_seeds=True, defects=["no_adding"])
    assert told(met) or list(harness._damages(tmp_path / "store"))
