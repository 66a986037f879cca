"""conftest: every test starts in an empty folder, so that no store above the repository answers for it."""

import pytest


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.delenv("LICHEN_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
