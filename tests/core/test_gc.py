"""A collection frees what nothing needs and nothing else; a check finds every damage."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest
import toy

from lichen.core import gc
from lichen.core.array import Array
from lichen.core.check import check
from lichen.core.context import Context
from lichen.core.errors import UsageError
from lichen.core.gc import Freed, collect
from lichen.core.session import Session, opened, using
from lichen.core.store import Store

LONG_AGO = "2000-01-01T00:00:00.000+00:00"


def age(store: Store) -> None:
    """Makes everything in a store older than any grace period."""
    for table in ("vals", "calls"):
        store.records.connection.execute(f"UPDATE {table} SET created = ?", [LONG_AGO])
    for path in [*(store.folder / "objects").glob("*/*"), *(store.folder / "runs").glob("*/*")]:
        os.utime(path, (0, 0))


def a_life(seed: int):
    return toy.tune(toy.merge(toy.draw(seed=seed), toy.fit(toy.rows(seed=seed))), toy.rows(seed=seed + 100))


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The folder of a store with a named life, its scores, a forgotten one, and a finished run."""
    folder = tmp_path_factory.mktemp("lived") / ".lichen"
    with opened(folder) as session:
        kept = a_life(1)
        session.store.names.move("kept", kept)
        toy.weigh(kept, toy.rows(seed=50))
        a_life(2)
        toy.weigh(a_life(2), toy.rows(seed=1))
    return folder


@pytest.fixture
def store(lived, tmp_path):
    """A copy of it in which everything is old."""
    store = Store(shutil.copytree(lived, tmp_path / ".lichen"))
    age(store)
    with using(Session(store=store)):
        yield store
    store.close()


def test_what_names_and_their_lineages_need_stays(store):
    kept = store.resolve("kept")
    freed = collect(store, is_dry=False)
    assert freed.values > 0 and freed.blobs > 0
    assert check(store) == []
    for call in store.resolve("kept").made.call.history():
        for digest in call.outputs.values():
            value = store.value(digest)
            assert all(blob in store.objects for blob in value.blob_names())
    (scoring,) = [call for call in store.readers(kept.digest) if call.step == "toy:weigh"]
    assert store.value(scoring.outputs[""]).value == pytest.approx(0.75)
    assert store.call(scoring.id).inputs["data"].made.call.options["seed"] == 50


def test_the_forgotten_life_is_gone_and_can_be_computed_again(store, tmp_path):
    with opened(store):
        digest = a_life(2).digest
    age(store)
    collect(store, is_dry=False)
    with opened(store) as session:
        assert store.records.row("SELECT 1 FROM vals WHERE digest = ?", [digest]) is None
        computed = session.counts["computed"]
        assert a_life(2).digest == digest
        assert session.counts["computed"] > computed
        assert a_life(1) == store.resolve("kept")
    assert check(store) == []


def test_a_dry_collection_says_the_same_and_removes_nothing(store):
    before = sorted(store.objects), store.records.rows("SELECT count(*) FROM calls")[0][0]
    said = collect(store, is_dry=True)
    assert (sorted(store.objects), store.records.rows("SELECT count(*) FROM calls")[0][0]) == before
    assert collect(store, is_dry=False) == said
    assert collect(store, is_dry=False) == Freed(values=0, blobs=0, size_bytes=0)


def test_the_bytes_it_names_are_the_bytes_that_go(store):
    def size():
        return sum(path.stat().st_size for path in (store.folder / "objects").glob("*/*"))

    before = size()
    assert collect(store, is_dry=False).size_bytes == before - size() > 0


def test_what_is_young_stays(tmp_path):
    store = Store(tmp_path / ".lichen")
    with opened(store):
        a_life(3)
        assert collect(store, is_dry=False, grace_s=-1.0) == Freed(values=0, blobs=0, size_bytes=0)
    assert collect(store, is_dry=False) == Freed(values=0, blobs=0, size_bytes=0)
    assert collect(store, is_dry=True, grace_s=-1.0).values > 0
    store.close()


def test_an_old_value_behind_a_young_one_stays(store):
    with opened(store):
        toy.prune(a_life(2))
        for path in (store.folder / "runs").glob("*/*"):
            os.utime(path, (0, 0))
        collect(store, is_dry=False)
        (row,) = store.records.rows("SELECT id FROM calls WHERE step = 'toy:prune'")
        assert len(store.call(row["id"]).history()) > 3
    assert check(store) == []


def test_what_a_recent_run_found_stays(store):
    with opened(store):
        value = a_life(2)
        collect(store, is_dry=False)
        assert a_life(2) == value and toy.numbers(value).size


def test_what_a_name_pointed_at_stays_for_a_rollback(store):
    other = store.value(store.records.row("SELECT digest FROM vals WHERE kind = 'model' LIMIT 1")["digest"])
    before = store.resolve("kept")
    store.names.move("kept", other)
    age(store)
    collect(store, is_dry=False)
    assert store.names.rollback("kept") == before
    assert toy.numbers(before).size


def test_checkpoints_stay(store, tmp_path):
    with opened(store) as session:
        context = Context(session, "s", "key")
        context.checkpoint({}, {"w": Array.of(np.full(2000, 1.0))})
        context.checkpoint({}, {"w": Array.of(np.full(2000, 2.0))})
        age(store)
        collect(store, is_dry=False)
        assert context.restore()[1]["w"].numpy()[0] == 2.0


def test_a_base_that_a_manifest_names_stays(tmp_path):
    with opened(tmp_path / ".lichen") as session:
        base = session.store.keep(toy.a_model(1.0))
        adapter = session.store.keep(toy.a_model(2.0, assets={"base": base.digest}))
        session.store.names.move("adapter", adapter)
        age(session.store)
        collect(session.store, is_dry=False)
        assert session.store.value(base.digest) == base


def test_nothing_is_collected_while_a_step_is_computed(store):
    with store.lease("a" * 64), pytest.raises(UsageError, match="being computed"):
        collect(store, is_dry=False)
    collect(store, is_dry=False)


def test_the_tests_of_collections_catch_one_that_forgets_lineages(store, monkeypatch):
    monkeypatch.setattr(gc._Needed, "_of_call", lambda self, id: iter(()))
    collect(store, is_dry=False)
    assert check(store) != []


def test_a_blob_taken_up_again_meanwhile_stays(store):
    (row,) = store.records.rows("SELECT digest FROM vals WHERE kind = 'model' AND digest NOT IN "
                                "(SELECT digest FROM names) LIMIT 1")  # fmt: skip
    (blob,) = store.value(row["digest"]).blob_names()
    store.objects.put(blob, store.objects.get(blob))
    assert time.time() - store.objects.path(blob).stat().st_mtime < 60
    collect(store, is_dry=False)
    assert blob in store.objects


def test_what_was_damaged_is_computed_again(store):
    value = store.resolve("kept")
    (blob,) = value.blob_names()
    damaged(store.objects.path(blob))
    assert check(store) != []
    with opened(store) as session:
        assert a_life(1) == value
        assert session.counts["computed"] == 1
    assert check(store) == []
    assert list((store.folder / "damaged").iterdir()) != []


def damaged(path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_whole_store_has_no_damage(store):
    assert check(store) == []


def test_every_kind_of_damage_is_found_and_named(store):
    value = store.resolve("kept")
    (blob,) = value.blob_names()
    damaged(store.objects.path(blob))
    found = check(store)
    assert [(one.what, one.name) for one in found] == [("blob", blob[:10]), ("value", value.id)]
    assert "not those" in str(found[0])
    assert {(one.what, one.name) for one in check(store)} == {("value", value.id)}
    run = store.records.connection.execute
    run("UPDATE vals SET manifest = replace(manifest, 'toy:net', 'toy:ten') WHERE digest = ?", [value.digest])
    assert "not what it is named for" in str(check(store)[0])
    run("UPDATE vals SET manifest = '{' WHERE digest = ?", [value.digest])
    assert "cannot be read" in str(check(store)[0])
    run("DELETE FROM vals WHERE digest = ?", [value.digest])
    assert {(one.what, one.name) for one in check(store)} == {("name", "kept")}
    call = store.records.row("SELECT id, record FROM calls WHERE step = 'toy:tune' LIMIT 1")
    run(
        'UPDATE calls SET record = replace(record, \'"decisions": {}\', \'"decisions": {"a": 1}\') '
        "WHERE id = ?",
        [call["id"]],
    )
    assert ("call", call["id"][:10]) in {(one.what, one.name) for one in check(store)}
    run("UPDATE calls SET record = '{}' WHERE id = ?", [call["id"]])
    assert ("call", call["id"][:10]) in {(one.what, one.name) for one in check(store)}
