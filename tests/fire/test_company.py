"""Many processes on one store: each step computed once, nobody fails, nothing alive is collected."""

from contextlib import closing, nullcontext
from threading import Event, Thread

import numpy as np
import pytest
from fire import harness

from lichen.core.array import Array
from lichen.core.check import check
from lichen.core.gc import collect
from lichen.core.model import Model
from lichen.core.store import Store


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


@pytest.mark.slow
def test_a_missing_lease_is_seen(warm, tmp_path):
    assert (
        sum(entry.get("computed", 0) for entry in crowd(warm, tmp_path / "whole", 4, 3, pause_s=0.2).said)
        == 12
    )
    met = crowd(warm, tmp_path / "store", 4, 3, pause_s=0.2, defects=["no_lease"]).said
    assert sum(entry.get("computed", 0) for entry in met) > 12


def test_nothing_alive_is_collected(warm, tmp_path, rounds=20):
    met = crowd(warm, tmp_path / "store", 4, rounds, collects=True, own_seeds=True)
    assert (met.code, told(met)) == (0, [])
    assert list(harness._damages(tmp_path / "store")) == []
    assert sum(entry.get("collections", 0) for entry in met.said) > 3


@pytest.mark.slow
def test_nothing_alive_is_collected_from_four_writers_a_hundred_times(warm, tmp_path):
    test_nothing_alive_is_collected(warm, tmp_path, rounds=100)


@pytest.mark.parametrize("waits", [True, False])
def test_a_collector_that_does_not_wait_for_writers_is_seen(tmp_path, monkeypatch, waits):
    """A blob that lies there already is not put again: only the lock keeps it until its record is written."""
    if not waits:
        monkeypatch.setattr(Store, "adding", lambda self, alone=False: nullcontext())
    value = Model.build(net="a:net", options={}, weights={"w": Array.of(np.arange(4.0))})
    put, is_put, is_collected = Store._put_blobs, Event(), Event()

    def add():
        with closing(Store(tmp_path)) as own:
            own.keep(value)

    def put_and_wait(self, value):
        put(self, value)
        is_put.set()
        is_collected.wait(1.0)

    add()
    monkeypatch.setattr(Store, "_put_blobs", put_and_wait)
    writer = Thread(target=add)
    writer.start()
    assert is_put.wait(10.0)
    with closing(Store(tmp_path)) as store:
        collect(store, is_dry=False, grace_s=0.0)
        is_collected.set()
        writer.join()
        assert (check(store) == []) == waits
