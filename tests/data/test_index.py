"""Digests follow content, never place or time of access."""

import os
import shutil
import time

import pytest

from lichen.core.errors import MachineError, NotFoundError
from lichen.data import index


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def settled(monkeypatch):
    """Lets the clock stand a minute later, so that fresh files are no longer racy."""
    real = time.time_ns
    monkeypatch.setattr(index.time, "time_ns", lambda: real() + 60_000_000_000)


def test_a_moved_folder_keeps_its_digest(folder, tmp_path):
    before = index.tree(folder, tmp_path / "index.db")
    folder.rename(tmp_path / "elsewhere")
    assert index.tree(tmp_path / "elsewhere", tmp_path / "index.db") == before


def test_a_copied_and_touched_folder_keeps_its_digest(folder, tmp_path):
    before = index.tree(folder)
    shutil.copytree(folder, tmp_path / "copy")
    os.utime(tmp_path / "copy/cat/1.png", (1, 1))
    assert index.tree(tmp_path / "copy") == before


def test_a_changed_byte_or_name_changes_the_digest(folder, tmp_path, monkeypatch):
    settled(monkeypatch)
    seen = {index.tree(folder, tmp_path / "index.db").digest}
    (folder / "cat/1.png").write_bytes(b"cat/9.png")
    seen.add(index.tree(folder, tmp_path / "index.db").digest)
    (folder / "cat/1.png").rename(folder / "cat/3.png")
    seen.add(index.tree(folder, tmp_path / "index.db").digest)
    assert len(seen) == 3


def test_an_unchanged_folder_is_not_read_again(folder, tmp_path, monkeypatch):
    settled(monkeypatch)
    before = index.tree(folder, tmp_path / "index.db")
    monkeypatch.setattr(index, "_hash", lambda path: pytest.fail(f"{path} was read"))
    assert index.tree(folder, tmp_path / "index.db") == before
    assert len(index.listing(folder, tmp_path / "index.db")) == 3


def _rewrite_within_a_tick(folder, base, monkeypatch):
    """Changes a byte so that size, times and inode stay equal, as within one tick of a coarse clock."""
    frozen = index._entries(folder)
    monkeypatch.setattr(index, "_entries", lambda path: frozen)
    before = index.tree(folder, base)
    with (folder / "dog/1.png").open("r+b") as file:
        file.write(b"X")
    return before, index.tree(folder, base)


def test_a_racy_file_is_read_again(folder, tmp_path, monkeypatch):
    before, after = _rewrite_within_a_tick(folder, tmp_path / "index.db", monkeypatch)
    assert after.digest != before.digest


def test_without_the_margin_a_racy_file_would_be_missed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "MARGIN_NS", -(10**12))
    before, after = _rewrite_within_a_tick(folder, tmp_path / "index.db", monkeypatch)
    assert after.digest == before.digest


def test_verify_trusts_no_stat(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "MARGIN_NS", -(10**12))
    before, _ = _rewrite_within_a_tick(folder, tmp_path / "index.db", monkeypatch)
    assert index.tree(folder, tmp_path / "index.db", verify=True).digest != before.digest


def test_what_is_missing_or_forbidden_is_named(folder, tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match="nothing-here"):
        index.tree(tmp_path / "nothing-here")

    def forbid(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(index, "digest_file", forbid)
    with pytest.raises(MachineError, match=r"cat/1\.png"):
        index.tree(folder)
