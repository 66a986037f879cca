"""The same store for a team: records in a real PostgreSQL, blobs in an S3-compatible bucket."""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fire import harness, servers

from lichen.core import team, transfer
from lichen.core.array import Array
from lichen.core.check import check
from lichen.core.errors import LichenError, MachineError, UnsafeInputError, UsageError
from lichen.core.gc import collect
from lichen.core.model import Model
from lichen.core.store import Store

HOLDER = """
import sys, time
from lichen.core.postgres import PostgresLocks
with PostgresLocks(sys.argv[1]).lease("k"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def cluster():
    with servers.postgres() as url, servers.s3() as environment:
        yield url, environment


@pytest.fixture
def shared(cluster, request, monkeypatch):
    """Addresses of records and blobs of an empty store."""
    url, environment = cluster
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    name = request.node.name.replace("[", "_").replace("]", "")[:40]
    return servers.database(url, name), f"s3://lichen/{name}"


def member(folder, shared):
    harness.lay(folder, "chain")
    team.join(folder / ".lichen", *shared).close()
    return folder


def test_what_one_member_computed_the_other_finds(warm, tmp_path, shared, cluster):
    one, two = member(tmp_path / "one", shared), member(tmp_path / "two", shared)
    first, second = warm(one, environment=cluster[1]), warm(two, environment=cluster[1])
    assert (first.code, second.code) == (0, 0), (first.said, second.said)
    assert (first.told("computed"), second.told("computed")) == (4, 0)
    assert first.finished == second.finished
    alone = warm(harness.lay(tmp_path / "alone", "chain"))
    assert alone.finished == first.finished
    store = Store(two / ".lichen")
    assert check(store) == []
    assert store.resolve("last").weights()["w"].numpy().shape == (4,)
    store.close()


@pytest.mark.slow
def test_many_members_compute_each_step_once(warm, tmp_path, shared, cluster, rounds=5):
    folder = member(tmp_path / "crowd", shared)
    met = warm(folder, "crowd", processes=8, rounds=rounds, environment=cluster[1])
    assert met.code == 0 and [one for entry in met.said for one in entry.get("problems", ())] == []
    assert sum(entry.get("computed", 0) for entry in met.said) == 4 * rounds
    assert list(harness._damages(folder)) == []


@pytest.mark.slow
def test_eight_members_many_rounds(warm, tmp_path, shared, cluster):
    test_many_members_compute_each_step_once(
        warm, tmp_path, shared, cluster, rounds=50 if harness.IS_FULL else 15
    )


@pytest.mark.slow
def test_nothing_alive_is_collected(warm, tmp_path, shared, cluster):
    folder = member(tmp_path / "crowd", shared)
    met = warm(folder, "crowd", processes=4, rounds=6, collects=True, own_seeds=True, environment=cluster[1])
    assert [one for entry in met.said for one in entry.get("problems", ())] == []
    assert list(harness._damages(folder)) == []


def test_a_dead_members_lease_is_taken_over(shared):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, shared[0]], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    start = time.monotonic()
    locks = team.PostgresLocks(shared[0])
    with locks.lease("k"):
        assert time.monotonic() - start < 5.0
    locks.close()
    holder.wait()
    holder.stdout.close()


def test_a_damaged_blob_of_the_bucket_is_found_and_not_used(warm, tmp_path, shared, cluster):
    folder = member(tmp_path / "one", shared)
    assert warm(folder, environment=cluster[1]).code == 0
    shutil.rmtree(folder / ".lichen" / "objects")  # the cache
    store = Store(folder / ".lichen")
    blob = next(iter(store.objects))
    store.objects.files.pipe_file(store.objects._key(blob), b"other bytes")
    with pytest.raises(UnsafeInputError, match="damaged"):
        store.objects.get(blob)
    (damage,) = [one for one in check(store) if one.what == "blob"]
    assert damage.name == blob[:10] and blob not in store.objects
    store.close()
    again = warm(folder, environment=cluster[1])
    assert again.code == 0 and again.told("computed") > 0
    assert list(harness._damages(folder)) == []


def test_a_value_moves_between_a_team_and_a_folder(warm, tmp_path, shared, cluster):
    own = harness.lay(tmp_path / "own", "chain")
    assert warm(own).code == 0
    source, target = Store(own / ".lichen"), team.join(tmp_path / "team" / ".lichen", *shared)
    value = source.resolve("last")
    sent = transfer.send(value, source, target)
    assert (sent.values, sent.calls) == (1, 4)
    there = target.value(value.digest, target.origin(value.digest))
    assert [call.id for call in there.made.call.history()] == [call.id for call in value.made.call.history()]
    assert transfer.send(value, source, target).added_bytes == 0
    whole = transfer.send(value, source, target, is_whole=True)
    assert whole.values == 4
    assert collect(target, is_dry=True).values == 0
    source.close()
    target.close()


def test_the_addresses_of_a_team_are_checked(tmp_path, shared):
    for records, objects, error in [
        ("mysql://x/y", shared[1], UsageError), (shared[0], "bucket", UsageError),
        ("postgresql:///none?host=/nowhere&user=u:secret@h", shared[1], MachineError),
        (shared[0], "nothing://x", MachineError),
    ]:  # fmt: skip
        with pytest.raises(error) as caught:
            team.join(tmp_path / ".lichen", records, objects)
        assert "secret" not in str(caught.value)
    Store(tmp_path / "own").close()
    with pytest.raises(UsageError, match="a store of its own"):
        team.join(tmp_path / "own", *shared)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "team.json").write_text("{}")
    with pytest.raises(LichenError, match="where the team's store is"):
        Store(tmp_path / "odd")
    assert os.listdir(tmp_path / "odd") != []


def test_what_other_machines_may_be_making_is_not_collected(tmp_path, shared):
    """Their runs are not seen from here, so what is young stays for a week."""
    store = team.join(tmp_path / ".lichen", *shared)
    store.keep(Model.build(net="a:net", options={}, weights={"w": Array.of(np.arange(4.0))}))
    for hours, num_freed in [(0, 0), (30, 0), (24 * 8, 1)]:
        made = datetime.now(UTC) - timedelta(hours=hours)
        store.records.execute("UPDATE vals SET created = ?", [made.isoformat(timespec="milliseconds")])
        assert collect(store, is_dry=True).values == num_freed
    assert collect(store, is_dry=True, grace_s=24 * 9 * 3600.0).values == 0
    store.close()
