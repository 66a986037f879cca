"""conftest: every test starts in an empty folder, below no store that could answer, and waits for no disk."""

import os

import pytest

from lichen.core import records


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.delenv("LICHEN_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="session")
def unwaited():
    """Nothing waits for a disk: what a power loss leaves is asked in `fire`, of processes of their own."""
    plain = records._with_a_log

    def unsynced(path):
        connection = plain(path)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(records, "_with_a_log", unsynced)
        yield
