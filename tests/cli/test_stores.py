"""test_stores: the store says what it holds and what is wrong; the doctor finds what was broken here."""

import os

import pytest

from lichen.cli import doctor
from lichen.core.store import Store


def test_info_counts(lichen, home):
    data = lichen("store", "--json").data
    assert (
        data["values"]["model"] == 1
        and data["calls"] >= 4
        and data["blob_bytes"] > 0
        and not data["read_only"]
    )
    assert str(home / ".lichen") in lichen("store", "info").out


def test_check_finds_a_flipped_byte(lichen, home):
    assert lichen("store", "check").code == 0
    blob = next(iter(Store(home / ".lichen").objects))
    path = Store(home / ".lichen").objects.path(blob)
    path.chmod(0o644)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    said = lichen("store", "check", "--json")
    assert said.code == 1 and "blob" in [damage["what"] for damage in said.data["damages"]]
    assert blob[:10] in lichen("store", "check").out


def test_gc_says_first_and_frees_then(lichen, home):
    store = Store(home / ".lichen")
    blob = store.objects
    from lichen.core.value import Memory

    memory = Memory()
    name = memory.put(b"left over" * 100)
    blob.put(name, memory.get(name))
    os.utime(blob.path(name), (0, 0))
    assert lichen("store", "gc", "--dry-run", "--json").data == {
        "values": 0, "blobs": 1, "size_bytes": 900, "dry_run": True,
    }  # fmt: skip
    assert name in blob
    assert "freed 0 values and 1 blobs" in lichen("store", "gc").out
    assert name not in blob


def test_accept_has_nothing_to_do_after_a_run(lichen, home):
    assert lichen("store", "accept", "--json").data == []
    assert lichen("store", "accept", "pretrain.trian").code == 3


def test_a_value_goes_to_another_store_and_comes_back(lichen, home, tmp_path):
    Store(tmp_path / "other" / ".lichen").close()
    name = lichen("models", "--json").data[0]["name"]
    digest = lichen("show", name, "--json").data["digest"]
    pushed = lichen("store", "push", name, str(tmp_path / "other"), "--json").data
    assert pushed["digest"] == digest and pushed["values"] >= 1 and pushed["calls"] >= 3
    other = Store(tmp_path / "other" / ".lichen")
    assert other.resolve(name).digest == digest
    assert lichen("show", name, "--recipe").out == lichen(
        "show", name, "--recipe", "--store", str(other.folder)
    ).out  # fmt: skip
    other.close()
    assert lichen("store", "pull", name, str(tmp_path / "other"), "--json").data["added_bytes"] == 0
    assert lichen("store", "push", name, str(tmp_path / "other"), "--whole", "--json").data["values"] >= 1
    assert "is no store" in lichen("store", "push", name, str(tmp_path)).err


def test_a_value_goes_through_a_file(lichen, home, tmp_path):
    name = lichen("models", "--json").data[0]["name"]
    file = tmp_path / "one.lichen"
    digest = lichen("store", "export", name, str(file), "--json").data["digest"]
    Store(tmp_path / "other").close()
    taken = lichen(
        "store", "import", str(file), "new@prod", "--store", str(tmp_path / "other"), "--json"
    ).data
    assert taken["digest"] == digest
    assert lichen("show", "new@prod", "--json", "--store", str(tmp_path / "other")).data["digest"] == digest
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    said = lichen("store", "import", str(file), "--store", str(tmp_path / "other"))
    assert said.code != 0 and "damaged" in said.err + said.out


def test_words_that_are_missing_or_too_many_are_named(lichen, home):
    assert "needs STORE" in lichen("store", "push", "digits").err
    assert "takes no `more`" in lichen("store", "import", "a", "b", "more").err
    assert "takes no --whole; `store push` does" in lichen("store", "check", "--whole").err
    assert lichen("store", "join", "sqlite:x", "s3://a/b", "--store", "fresh/.lichen").code == 2


def test_flags_of_other_actions_are_refused(lichen, home):
    assert lichen("store", "info", "--dry-run").code == 2
    assert lichen("store", "gc", "pretrain.train").code == 2


@pytest.fixture
def healthy(monkeypatch):
    monkeypatch.setattr(doctor, "imports", lambda modules: dict.fromkeys(modules, ""))


def test_the_doctor_passes_a_healthy_machine(lichen, home, healthy):
    said = lichen("doctor", "--json")
    assert said.code == 0 and {"ok"} <= {one["state"] for one in said.data} <= {"ok", "warn"}
    assert {"Python", "torch", "store", "disk", "threads"} <= {one["subject"] for one in said.data}


def test_the_doctor_knows_a_torchvision_of_another_build(lichen, home, monkeypatch):
    broken = {"torch": "", "torchvision": "RuntimeError: operator torchvision::nms does not exist"}
    monkeypatch.setattr(doctor, "imports", lambda modules: broken)
    said = lichen("doctor")
    assert said.code == 1 and "of different builds" in said.out and "from one index" in said.out


def test_the_doctor_names_missing_packages(lichen, home, healthy, monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "openvino" else version(name))
    found = next(one for one in lichen("doctor", "--json").data if one["subject"] == "[vision]")
    assert found["state"] == "warn" and "openvino" in found["says"] and "lichen[vision]" in found["fix"]


def test_the_doctor_finds_a_store_that_is_none(lichen, home, healthy, monkeypatch):
    (home / "file").write_text("")
    (home / "broken").mkdir()
    (home / "broken" / "lichen.db").write_text("no database")
    for place in ("broken",):
        said = lichen("doctor", "--store", home / place)
        assert said.code == 1 and str(home / place) in said.out


def test_the_doctor_finds_a_wrong_data_folder(lichen, home, healthy, monkeypatch):
    monkeypatch.setenv("LICHEN_DATA", str(home / "nowhere"))
    assert "fail  LICHEN_DATA" in lichen("doctor").out


def test_imports_are_tried_in_another_process():
    said = doctor.imports(["json", "no_such_module"])
    assert said["json"] == "" and said["no_such_module"].startswith("ModuleNotFoundError")


def test_an_import_that_ends_the_process_blames_the_right_module(tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor.imports(["json", "crashing", "csv"]) == {
        "json": "",
        "crashing": "the process ended with 3",
        "csv": "",
    }
