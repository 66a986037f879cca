"""A value file holds a value whole, and no change to its bytes gets past."""

from __future__ import annotations

import random
import zipfile

import pytest
import toy

import lichen as li
from lichen.core.errors import NotFoundError, UnsafeInputError
from lichen.core.session import opened


def test_a_saved_value_is_read_back_with_its_lineage(session, tmp_path):
    value = toy.tune(toy.draw(seed=1), toy.rows(seed=2), times=3)
    path = value.save(tmp_path / "model.lichen")
    found = li.open(path)
    assert found == value and toy.numbers(found).tolist() == toy.numbers(value).tolist()
    assert [call.id for call in found.made.call.history()] == [call.id for call in value.made.call.history()]
    assert value.save(tmp_path / "again.lichen").read_bytes() == path.read_bytes()
    assert [p.name for p in tmp_path.glob("*.part")] == []
    with opened(tmp_path / "elsewhere") as other:
        assert toy.prune(found).made.call.history()[0].step == "toy:rows"
        assert toy.prune(li.open(path)).made.call.id and other.counts == {"computed": 1, "found": 1}


def test_a_value_without_lineage_is_read_back(tmp_path):
    assert li.open(toy.a_model(1.0).save(tmp_path / "m")).made is None
    with pytest.raises(NotFoundError):
        li.open(tmp_path / "nothing")


def test_no_flipped_bit_gives_another_value_or_another_error(session, tmp_path):
    value = toy.tune(toy.draw(seed=1), toy.rows(seed=2))
    path = value.save(tmp_path / "model.lichen")
    data, generator, num_refused = path.read_bytes(), random.Random(0), 0
    for _ in range(600):
        changed = bytearray(data)
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        try:
            found = li.open(path)
        except UnsafeInputError:
            num_refused += 1
        else:
            assert found == value and toy.numbers(found).tolist() == toy.numbers(value).tolist()
    assert num_refused > 400
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(UnsafeInputError):
            li.open(path)


def rewritten(path, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("change", [
    lambda entries: entries.update({"blobs/../../escape": b"x"}),
    lambda entries: entries.update({"code.py": b"print()"}),
    lambda entries: entries.pop("manifest.json"),
    lambda entries: entries.pop("lineage.json"),
    lambda entries: entries.pop(next(name for name in entries if name.startswith("blobs/"))),
    lambda entries: entries.update(
        {"manifest.json": entries["manifest.json"].replace(b"toy:net", b"toy:ten")}),
    lambda entries: entries.update({"lineage.json": entries["lineage.json"][:-1]}),
    lambda entries: entries.update({"lineage.json": b"[" * 100000}),
    lambda entries: entries.update({"lineage.json": b"{}"}),
    lambda entries: entries.update({"manifest.json": b"[]"}),
    lambda entries: entries.update({"manifest.json": b'{"kind": "alien"}'}),
    lambda entries: entries.update({next(name for name in entries if name.startswith("blobs/")): b"other"}),
])  # fmt: skip
def test_a_tampered_file_is_refused(session, tmp_path, change):
    path = toy.tune(toy.draw(seed=1), toy.rows(seed=2)).save(tmp_path / "m")
    with pytest.raises(UnsafeInputError):
        li.open(rewritten(path, change))


def test_a_compressed_file_is_refused_before_it_unpacks(tmp_path):
    path = toy.a_model(1.0).save(tmp_path / "m")
    rewritten(
        path, lambda entries: entries.update({"blobs/" + "0" * 64: bytes(1 << 24)}), zipfile.ZIP_DEFLATED
    )
    with pytest.raises(UnsafeInputError, match="more than its own size"):
        li.open(path)
