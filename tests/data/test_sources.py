"""Names resolve in the working folder, then in $LICHEN_DATA, then to what is built in, then on the hub."""

import subprocess
import sys

import pytest

from lichen.core.errors import MachineError, NotFoundError
from lichen.data import sources


@pytest.fixture
def places(tmp_path, monkeypatch):
    for name in ("here/both", "shared/both", "shared/only"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("LICHEN_DATA", str(tmp_path / "shared"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_the_nearest_place_wins(places):
    assert sources.resolve("both").path == places / "here/both"
    assert sources.resolve("only").path == places / "shared/only"
    assert sources.resolve("digits").kind == "built-in"
    (places / "here/digits").mkdir()
    assert sources.resolve("digits").kind == "folder"


def test_a_misspelt_name_gets_the_nearest(places):
    with pytest.raises(NotFoundError, match="did you mean `only`"):
        sources.resolve("onyl")


def test_a_forbidden_place_is_named(places, monkeypatch):
    def forbid(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sources.os, "scandir", forbid)
    with pytest.raises(MachineError, match="here/both"):
        sources.resolve("both")


def test_the_hub_without_a_network_or_its_package_says_so(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def unreachable(*_, **__):
        raise hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    with pytest.raises(NotFoundError, match="network"):
        sources.resolve("hf:org/name")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MachineError, match=r"lichen\[hub\]"):
        sources.resolve("hf:org/name")


def test_fingerprints_need_neither_numpy_nor_torch():
    code = "import sys; from lichen.data import sources; sources.fingerprint('digits'); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "torch", "sklearn"} & set(loaded)
