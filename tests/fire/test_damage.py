"""Flipped bits, truncated and swapped files: all are found, and no command uses one silently."""

import random
import shutil

import pytest
from fire import harness

from lichen.core import valuefile
from lichen.core.check import check
from lichen.core.errors import LichenError
from lichen.core.store import Store


@pytest.fixture(scope="module")
def lived(warm, tmp_path_factory):
    folder = harness.lay(tmp_path_factory.mktemp("lived") / "life", "chain")
    assert warm(folder).code == 0
    store = Store(folder / ".lichen")
    store.records.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return folder


def flip(path, draws, others):
    data = bytearray(path.read_bytes())
    data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    rewrite(path, data)


def truncate(path, draws, others):
    data = path.read_bytes()
    rewrite(path, data[: draws.randrange(len(data))])


def swap(path, draws, others):
    rewrite(path, draws.choice(others).read_bytes())


def rewrite(path, data):
    path.chmod(0o644)
    path.write_bytes(data)


def blobs(folder):
    return sorted(path for path in (folder / ".lichen" / "objects").rglob("*") if path.is_file())


def missed(lived, place, num_times, harms=(flip, truncate, swap), is_checked=True):
    """Damages that `check` did not name, or that something was read from in silence."""
    found = []
    for number in range(num_times):
        draws, harm = random.Random(number), harms[number % len(harms)]
        folder = place / str(number)
        shutil.copytree(lived, folder)
        path = draws.choice(blobs(folder))
        harm(path, draws, [other for other in blobs(folder) if other != path])
        blob = path.parent.name + path.name
        store = Store(folder / ".lichen")
        found += [f"{number}: {one}" for one in silent(store, blob, place / "out.lichen")]
        if is_checked and blob[:10] not in {one.name for one in check(store) if one.what == "blob"}:
            found.append(f"{number}: {harm.__name__} was not found by check")
        store.close()
        shutil.rmtree(folder)
    return found


def silent(store, blob, out):
    """Ways to read the damaged blob that do not refuse it."""
    for row in store.records.rows("SELECT digest FROM vals"):
        value = store.value(row["digest"])
        if blob in value.blob_names():
            uses = {
                "get": lambda value: value.blobs.get(blob),
                "save": lambda value: valuefile.write(value, out),
                "weights": lambda value: [array.numpy() for array in value.weights().values()],
            }
            for name, use in uses.items():
                try:
                    use(value)
                except LichenError as error:
                    assert "damaged" in str(error)
                else:
                    yield f"{name} of {row['digest'][:10]} read it"


def test_every_damage_is_found_and_none_is_used(lived, tmp_path):
    assert missed(lived, tmp_path, 60) == []


@pytest.mark.slow
def test_twelve_hundred_damages(lived, tmp_path):
    assert missed(lived, tmp_path, 1200) == []


def test_reading_without_hashing_is_seen(lived, tmp_path, monkeypatch):
    monkeypatch.setattr("lichen.core.objects.digest_bytes", lambda data: None)
    monkeypatch.setattr("lichen.core.objects.Objects.get", lambda self, blob: self._map(blob))
    assert missed(lived, tmp_path, 3, harms=[flip], is_checked=False)


def test_a_damaged_blob_is_computed_again(warm, lived, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(lived, folder)
    whole = warm(folder)
    flip(blobs(folder)[0], random.Random(0), [])
    store = Store(folder / ".lichen")
    assert check(store)
    store.close()
    again = warm(folder)
    assert again.finished == whole.finished and again.told("computed") > 0
    assert list(harness._damages(folder)) == []


@pytest.mark.parametrize(("table", "column"), [("vals", "manifest"), ("calls", "record")])
def test_a_changed_record_is_found_and_not_used(lived, tmp_path, table, column):
    for number in range(20):
        folder = tmp_path / str(number)
        shutil.copytree(lived, folder)
        store, draws = Store(folder / ".lichen"), random.Random(number)
        rows = store.records.rows(f"SELECT rowid, {column} AS text FROM {table} ORDER BY rowid")
        row = draws.choice(rows)
        digits = [place for place, letter in enumerate(row["text"]) if letter.isdecimal()]
        at = draws.choice(digits)
        other = str((int(row["text"][at]) + 1) % 10)
        changed = row["text"][:at] + other + row["text"][at + 1 :]
        store.records.connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?",
                                         [changed, row["rowid"]])  # fmt: skip
        assert any(one.what == table.removesuffix("s").replace("val", "value") for one in check(store)), (
            changed
        )
        with pytest.raises(LichenError):
            for one in store.records.rows("SELECT digest FROM vals"):
                store.value(one["digest"])
            for one in store.records.rows("SELECT id FROM calls"):
                store.call(one["id"])
        store.close()
