"""Equal values are stored once, bytes are what they are named for, and two processes compute one key once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import toy

from lichen.core import machine, records
from lichen.core.array import Array
from lichen.core.digest import digest_bytes
from lichen.core.errors import MachineError, NotFoundError, StepError, UnsafeInputError, UsageError
from lichen.core.model import Model
from lichen.core.session import Session, opened, using
from lichen.core.store import Store


def num_blobs(store: Store) -> int:
    return len(list(store.objects))


def test_equal_values_are_stored_once(session):
    store = session.store
    one, two = store.keep(toy.a_model(1.0, 2.0)), store.keep(toy.a_model(1.0, 2.0))
    assert one == two and num_blobs(store) == 1
    assert len(store.records.rows("SELECT * FROM vals")) == 1


def test_a_changed_tensor_adds_one_blob(session):
    big = {name: Array.of(np.full(2000, float(number))) for number, name in enumerate("abc")}
    base = session.store.keep(Model.build(net="toy:net", options={}, weights=big))
    before = num_blobs(session.store)
    other = session.store.keep(base.with_weights({**base.weights(), "b": Array.of(np.full(2000, 9.0))}))
    assert (before, num_blobs(session.store)) == (3, 4)
    assert other.weights()["b"].numpy()[0] == 9.0 and other.weights()["a"].numpy()[0] == 0.0


def test_small_tensors_share_one_blob_and_come_back(session):
    weights = {f"w{n}": Array.of(np.arange(n, dtype=dtype)) for n, dtype in
               enumerate(["float64", "int8", "bool", "float16", "uint16", "int64"])}  # fmt: skip
    kept = session.store.keep(Model.build(net="toy:net", options={}, weights=weights))
    assert num_blobs(session.store) == 1
    for name, array in kept.weights().items():
        np.testing.assert_array_equal(array.numpy(), weights[name].numpy())
        with pytest.raises(ValueError, match="read-only"):
            array.numpy()[...] = 0


def test_the_order_of_bytes_is_the_machines_whatever_the_array_had():
    array = Array.of(np.array([1.0, 2.0], dtype=">f4"))
    assert array.dtype == "float32"
    np.testing.assert_array_equal(array.numpy(), [1.0, 2.0])


def test_blobs_cannot_be_written_and_a_flipped_byte_is_refused(session):
    kept = session.store.keep(toy.a_model(1.0, 2.0))
    (blob,) = kept.blob_names()
    path = session.store.objects.path(blob)
    assert path.stat().st_mode & 0o222 == 0
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(UnsafeInputError, match="is damaged"):
        Store(session.store.folder).value(kept.digest).weights()


def test_an_array_that_changed_after_it_went_into_a_value_is_refused(session):
    array = np.zeros(4000)
    value = Model.build(net="toy:net", options={}, weights={"w": Array.of(array)})
    array += 1
    with pytest.raises(StepError, match="changed after it was put into a value"):
        session.store.keep(value)
    assert num_blobs(session.store) == 0


def test_a_killed_writers_leftovers_are_swept(tmp_path):
    store = Store(tmp_path / ".lichen")
    old, young = store.objects.temporary / "old", store.objects.temporary / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    Store(tmp_path / ".lichen")
    assert not old.exists() and young.exists()


def test_a_full_disk_leaves_nothing_half_written(session, monkeypatch):
    import errno

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(MachineError, match="the disk is full"):
        session.store.keep(toy.a_model(1.0))
    monkeypatch.undo()
    assert num_blobs(session.store) == 0 and list(session.store.objects.temporary.iterdir()) == []
    assert session.store.records.rows("SELECT * FROM vals") == []


def test_a_name_moves_and_rolls_back_with_history(session):
    names = session.store.names
    values = [session.store.keep(toy.a_model(float(n))) for n in range(4)]
    for value in values[:3]:
        names.move("m@prod", value)
    assert session.store.resolve("m@prod") == values[2]
    assert names.rollback("m@prod") == values[1]
    assert names.rollback("m@prod") == values[0]
    with pytest.raises(UsageError, match="no earlier value"):
        names.rollback("m@prod")
    names.move("m@prod", values[3])
    assert names.rollback("m@prod") == values[0]
    assert [entry["verb"] for entry in names.history("m@prod")] == [
        "promote", "promote", "promote", "rollback", "rollback", "promote", "rollback"]  # fmt: skip
    assert [row["name"] for row in names.all()] == ["m@prod"]
    for wrong in ("", "a b", "a@b@c", "../x", "-a", "a\n"):
        with pytest.raises(UsageError, match="cannot be a name"):
            names.move(wrong, values[0])


def test_a_named_value_keeps_the_lineage_it_was_named_with(session):
    value = toy.tune(toy.draw(seed=1), toy.rows())
    session.store.names.move("mine", value)
    assert session.store.resolve("mine").made.call.id == value.made.call.id
    assert [call.step for call in session.store.resolve("mine").made.call.history()] == [
        "toy:rows",
        "toy:draw",
        "toy:tune",
    ]


def test_a_value_is_found_by_the_start_of_its_digest(session):
    value = toy.draw(seed=1)
    assert session.store.resolve(value.digest[:8]) == value
    assert session.store.resolve(value.digest[:8]).made.call.step == "toy:draw"
    for wrong in ("abc", "zzzz", "0000000000000", "mine"):
        with pytest.raises(NotFoundError, match="no value"):
            session.store.resolve(wrong)
    session.store.names.move("digits", value)
    with pytest.raises(NotFoundError) as caught:
        session.store.resolve("digts")
    assert caught.value.hint == "did you mean `digits`?"
    twins = session.store.records
    twins.insert("vals", digest=value.digest[:10] + "x", kind="model", manifest="{}", created="")
    with pytest.raises(NotFoundError, match="more than one value starts with"):
        session.store.resolve(value.digest[:10])


WAITING = """
import sys, time
import lichen as li
from lichen.core.array import Array
from lichen.core.digest import digest_bytes
import numpy as np, pathlib, os

@li.step
def slow(*, seed: li.Seed = 0) -> li.Model:
    folder = pathlib.Path(os.environ["MARKS"])
    (folder / f"ran-{os.getpid()}").touch()
    time.sleep(float(os.environ.get("NAP", "0.7")))
    return li.Model.build(net="toy:net", options={}, weights={"w": Array.of(np.array([1.0]))})

if __name__ == "__main__":
    with li.opened(os.environ["STORE"]) as session:
        print(slow(seed=1).digest, session.counts["computed"], session.counts["found"])
"""


def start(folder: Path, **environment: str) -> subprocess.Popen:
    script = folder / "waiting.py"
    script.write_text(WAITING)
    source = str(Path(machine.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([source, str(Path(toy.__file__).parent)]),
            "MARKS": str(folder),
            "STORE": str(folder / ".lichen"),
            **environment,
        },
    )


def test_two_processes_compute_one_key_once(tmp_path):
    answers = [process.communicate()[0].split() for process in [start(tmp_path), start(tmp_path)]]
    assert len(list(tmp_path.glob("ran-*"))) == 1
    assert answers[0][0] == answers[1][0]
    assert sorted(tuple(answer[1:]) for answer in answers) == [("0", "1"), ("1", "0")]


def test_a_killed_holders_lease_is_free_at_once(tmp_path):
    with start(tmp_path, NAP="60") as holder:
        while not list(tmp_path.glob("ran-*")):
            time.sleep(0.02)
        with start(tmp_path, NAP="0") as waiter:
            time.sleep(0.3)
            holder.send_signal(signal.SIGKILL)
            answer = waiter.communicate(timeout=50)[0].split()  # before the holder's nap would have ended
            assert answer[1:] == ["1", "0"]
    assert list((tmp_path / ".lichen" / "locks").iterdir()) == []


def test_two_threads_of_one_store_write_in_turn(session):
    store, failures = session.store, []

    def work(start):
        try:
            with using(Session(store=store)):
                for seed in range(start, start + 6):
                    toy.tune(toy.draw(seed=seed), toy.rows())
        except Exception as error:  # noqa: BLE001  a thread has nobody to raise to
            failures.append(error)

    threads = [threading.Thread(target=work, args=[start]) for start in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_another_thread_writes_is_not_undone_with_a_transaction(session):
    records = session.store.records
    other = threading.Thread(target=lambda: records.insert("codes", digest="theirs", detail="{}"))
    with pytest.raises(ZeroDivisionError), records.transaction():
        records.insert("codes", digest="ours", detail="{}")
        other.start()
        other.join(0.3)  # it waits its turn, or has joined the transaction by now
        raise ZeroDivisionError
    other.join()
    assert [row["digest"] for row in records.rows("SELECT digest FROM codes")] == ["theirs"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights, which only root can")
def test_a_store_that_may_not_be_written_is_read(tmp_path):
    folder = Path("/tmp") / f"lichen-readonly-{os.getpid()}"
    with opened(folder / ".lichen") as session:
        value = toy.draw(seed=1)
        session.store.names.move("mine", value)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            store = Store(folder / ".lichen")
            with using(Session(store=store)) as session:
                found, made = toy.draw(seed=1), toy.draw(seed=2)
                said = [
                    store.is_readonly,
                    store.resolve("mine") == found,
                    session.counts,
                    toy.numbers(made).tolist(),
                ]
            store.close()
        except BaseException as error:  # noqa: BLE001  nor has a forked child
            said = [repr(error)]
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    said = json.loads(os.read(reader, 10000))
    subprocess.run(["rm", "-r", str(folder)], check=True)
    assert said == [True, True, {"computed": 1, "found": 1}, [2.0, 1.0]]


def test_a_store_of_a_newer_format_is_refused(tmp_path):
    store = Store(tmp_path / ".lichen")
    store.records.connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(MachineError, match="newer than this lichen"):
        Store(tmp_path / ".lichen")


def test_a_store_of_an_older_format_is_brought_up_to_date(tmp_path, monkeypatch):
    with monkeypatch.context() as old:
        old.setattr(records, "MIGRATIONS", records.MIGRATIONS[:1])
        store = Store(tmp_path / ".lichen")
        store.records.connection.execute("INSERT INTO calls VALUES ('i', 'k', 's', 'm', 'r', 'now', '{}')")
        store.close()
    store = Store(tmp_path / ".lichen")
    row = store.records.row("SELECT checksum FROM calls WHERE id = 'i'")
    assert row["checksum"] == digest_bytes(b"{}")
    assert store.records.row("PRAGMA user_version")[0] == len(records.MIGRATIONS)
    store.close()


def test_a_step_without_a_store_runs_and_remembers_its_lineage():
    with using(Session(store=None)) as session:
        value = toy.tune(toy.draw(seed=1), toy.rows())
        assert [call.step for call in value.made.call.history()] == ["toy:rows", "toy:draw", "toy:tune"]
        assert session.counts == {"computed": 3, "found": 0}


def test_a_lineage_from_elsewhere_comes_along(tmp_path):
    with opened(tmp_path / "a"):
        base = toy.tune(toy.draw(seed=1), toy.rows())
    with opened(tmp_path / "b") as session:
        toy.prune(base)
        found = toy.prune(base)
        assert [call.step for call in found.made.call.history()] == [
            "toy:rows",
            "toy:draw",
            "toy:tune",
            "toy:prune",
        ]
        assert session.counts == {"computed": 1, "found": 1}
        assert session.store.value(base.digest) == base
        again = toy.draw(seed=1)  # its call is recorded here, its value is not
        assert session.counts == {"computed": 2, "found": 1}
        assert again.made.call.step == "toy:draw"


def test_a_failed_step_leaves_no_record(session):
    with pytest.raises(StepError, match="`toy:fail` raised ValueError: it does not work"):
        toy.fail(toy.a_model(1.0))
    assert session.store.records.rows("SELECT * FROM calls") == []
    assert list((session.store.folder / "locks").iterdir()) == []


def test_one_key_keeps_the_results_of_every_machine(session, monkeypatch):
    first = toy.waver(toy.a_model(1.0))
    monkeypatch.setattr(machine, "environment", lambda: {"cpu": "other"})
    monkeypatch.setattr(machine, "fingerprint", lambda: machine.name_of({"cpu": "other"}))
    session.is_fresh = True
    second = toy.waver(toy.a_model(1.0))
    session.is_fresh = False
    assert first.digest != second.digest and first.made.call.key == second.made.call.key
    assert toy.waver(toy.a_model(1.0)) == second
    monkeypatch.undo()
    assert toy.waver(toy.a_model(1.0)) == first


def test_a_store_is_opened_while_another_process_makes_its_records(tmp_path):
    """SQLite answers "locked" at once, without waiting, where the file is to get its log."""
    path = tmp_path / "lichen.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    leaves = Timer(0.2, other.execute, ["COMMIT"])
    leaves.start()
    records.SQLite(path).close()
    leaves.join()
    other.close()


def test_a_store_made_between_two_looks_is_not_foreign(tmp_path, monkeypatch):
    path, made, opened = tmp_path / "lichen.db", [], records._with_a_log

    def make(statement):
        if "sqlite_master" in statement and not made:
            made.append(statement)
            records.SQLite(path).close()

    def watched(file):
        connection = opened(file)
        if not made:
            connection.set_trace_callback(make)
        return connection

    monkeypatch.setattr(records, "_with_a_log", watched)
    records.SQLite(path).close()
    assert made
