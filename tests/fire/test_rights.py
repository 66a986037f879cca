"""File systems that are small, that may not be written, or that hold what is not lichen's."""

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager

import numpy as np
import pytest
from fire import harness
from PIL import Image

RUN = ["run", "recipe.yaml", "--no-test"]
READING = {
    "show": ["show", "recipe"], "the recipe": ["show", "recipe", "--recipe"], "runs": ["log"],
    "calls": ["log", "recipe"], "models": ["models"], "why": ["why", "recipe.yaml"],
    "compare": ["compare", "recipe", "last"], "report": ["report", "recipe", "--out", "out/report.html"],
    "card": ["report", "recipe", "--card", "--out", "out/card.md"], "info": ["store", "info"],
    "check": ["store", "check"], "put out": ["store", "export", "recipe", "out/recipe.lichen"],
    "evaluate": ["evaluate", "recipe"], "export": ["export", "recipe", "--out", "out/program"],
    "predict": ["predict", "recipe", "picture.png"], "doctor": ["doctor"],
    "data": ["data", "digits"], "steps": ["steps"], "collect": ["store", "gc", "--dry-run"],
    "again": ["run", "recipe.yaml"], "reproduce": ["reproduce", "recipe"],
}  # fmt: skip
WRITING = [["promote", "recipe", "recipe@prod"], ["store", "import", "out/recipe.lichen"], ["store", "gc"]]


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(place, *words):
    """A file system at a place, which only root can put there."""
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or not shutil.which("mount") or not mount(*words, place):
        pytest.skip("needs the right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def complaints(warm, tmp_path, whole, sizes_kb, **order):
    """What is wrong with how a file system of a size was met."""
    for size in sizes_kb:
        folder = harness.lay(tmp_path / str(size), "chain")
        with mounted(folder / ".lichen", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs") as store:
            met = warm(folder, "command", words=RUN, **order)
            if met.code not in (0, 5) or (met.code == 5 and "full" not in met.told("err")):
                yield f"{size} kB: exit code {met.code}: {met.said}"
            yield from (f"{size} kB: left {path}" for path in store.glob("**/tmp/*"))
            assert mount("-o", "remount,size=64m", store)
            again = warm(folder)
            if again.code != 0 or again.finished != whole.finished:
                yield f"{size} kB: with room again: {again.said}"
            yield from (f"{size} kB: {one}" for one in harness._damages(folder))


def sizes(warm, tmp_path, number):
    """From one that holds next to nothing to one that holds all."""
    folder = harness.lay(tmp_path / "measured", "chain")
    with mounted(folder / ".lichen", "-t", "tmpfs", "tmpfs") as store:
        whole = warm(folder)
        facts = os.statvfs(store)
    assert whole.code == 0
    most = (facts.f_blocks - facts.f_bfree) * facts.f_frsize // 1024
    return whole, sorted({8 + (most + 32) * turn // number // 4 * 4 for turn in range(number)})


def test_a_file_system_that_is_too_small(warm, tmp_path, number=3):
    whole, tried = sizes(warm, tmp_path, number)
    assert list(complaints(warm, tmp_path, whole, tried)) == []


@pytest.mark.slow
def test_a_file_system_of_many_sizes(warm, tmp_path):
    test_a_file_system_that_is_too_small(warm, tmp_path, number=50 if harness.IS_FULL else 16)


@pytest.mark.slow
def test_what_a_small_file_system_keeps_half_written_is_seen(warm, tmp_path):
    whole, tried = sizes(warm, tmp_path, 12)
    assert any("left" in one for one in complaints(warm, tmp_path, whole, tried, defects=["leaves_parts"]))


def lived(warm, folder, *, is_killed):
    """A life of two runs; the process of the second ends in order, or is killed with records in the log."""
    harness.lay(folder, "digits")
    assert warm(folder).code == 0
    order = {"words": ["run", "recipe.yaml", "train.epochs=3"]}
    if is_killed:
        shutil.copytree(folder, folder.with_name("measured"))
        done = warm(folder.with_name("measured"), "command", **order).told("done")
        order |= {"at": done - 2, "how": "before"}
    met = warm(folder, "command", **order)
    assert met.code == (-9 if is_killed else 0), met.said
    return folder


def state(folder):
    return {
        str(path): path.read_bytes() for path in sorted((folder / ".lichen").rglob("*")) if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("left", ["nothing", "log", "log and index"])
def test_a_store_on_a_read_only_mount_is_read_by_every_command(warm, tmp_path, left):
    """Also one whose last records are still in the write-ahead log."""
    folder = lived(warm, tmp_path / "life", is_killed=left != "nothing")
    log = folder / ".lichen" / "lichen.db-wal"
    assert (log.is_file() and log.stat().st_size > 0) == (left != "nothing")
    if left == "log":
        log.with_name("lichen.db-shm").unlink()
    Image.fromarray(np.zeros((8, 8), "uint8")).save(folder / "picture.png")
    (folder / "out").mkdir()
    before = state(folder)
    with mounted(folder / ".lichen", "--bind", folder / ".lichen") as store:
        assert mount("-o", "remount,ro,bind", store)
        for name, words in READING.items():
            met = warm(folder, "command", words=words)
            assert met.code == 0, (name, met.said)
            if name == "the recipe":
                assert "epochs: 3" in met.told("out")
        for words in WRITING:
            met = warm(folder, "command", words=words)
            assert met.code in (2, 5) and "read-only" in met.told("err"), met.said
    assert state(folder) == before


FOREIGN = """for name in objects runs locks tmp unfinished; do
    mkdir -p $name/zz $name/ab/c; echo a > $name/README; echo a > $name/ab/notes.txt
done"""
BLOB = "blob=$(find objects -type f | head -1); rm -f $blob"
INSIDE = {
    "foreign files": (FOREIGN, {0}, ""),
    "no objects": ("rm -r objects", {0, 1}, ""), "no runs": ("rm -r runs", {0}, ""),
    "no locks": ("rm -r locks tmp", {0}, ""),
    "an odd index": ("rm -f index.db* code.json; mkdir index.db code.json", {0}, ""),
    "objects a file": ("rm -r objects; echo a > objects", {5}, "a file is where a folder must be"),
    "runs a file": ("rm -r runs; echo a > runs", {5}, "a file is where a folder must be"),
    "records a folder": ("rm lichen.db*; mkdir lichen.db", {3, 5}, "no store|a folder is where a file"),
    "records of no database": ("rm lichen.db*; yes | head -c 9999 > lichen.db", {5}, "not a database"),
    "a database of others": ("rm lichen.db*; cp ../others.db lichen.db", {5}, "not lichen's"),
    "a blob that is a folder": (f"{BLOB}; mkdir $blob", {0, 1, 5}, "a folder is"),
    "a blob that leads outside": (f"{BLOB}; ln -s /etc/passwd $blob", {0, 1}, ""),
    "no permission at all": ("chmod 000 .", {5}, "no permission"),
    "no permission for records": ("chmod 000 lichen.db", {5}, "no permission"),
    "no permission to write records": ("chmod 444 lichen.db*", {0, 5}, "read-only"),
    "no permission to write": ("chmod 555 .", {0, 5}, "read-only"),
    "no permission for objects": ("chmod -R a-r objects", {0, 5}, "no permission"),
    "no permission for a blob": ("chmod 000 $(find objects -type f)", {0, 5}, "no permission"),
    "no permission to write objects": ("chmod -R 555 objects", {0, 5}, "no permission"),
    "no permission to write runs": ("chmod 555 runs", {0, 5}, "no permission"),
    "no permission to write locks": ("chmod 555 locks", {0, 5}, "no permission"),
}  # fmt: skip
ALL = [RUN, [*RUN, "first.seed=9"], ["show", "recipe"], ["log"], ["models"], ["store"], ["store", "check"],
       ["store", "gc"]]  # fmt: skip


@pytest.fixture(scope="module")
def chain(warm, tmp_path_factory):
    folder = harness.lay(tmp_path_factory.mktemp("lived") / "life", "chain")
    assert warm(folder, "command", words=RUN).code == 0
    with closing(sqlite3.connect(folder / "others.db")) as base:
        base.execute("CREATE TABLE mine (a)")
        base.commit()
    return folder


@pytest.mark.parametrize("what", INSIDE)
def test_what_is_wrong_inside_a_store_is_said_and_nothing_foreign_is_lost(warm, tmp_path, chain, what):
    change, codes, words = INSIDE[what]
    for number, argv in enumerate(ALL):
        folder = tmp_path / str(number)
        shutil.copytree(chain, folder)
        subprocess.run(change, shell=True, cwd=folder / ".lichen", check=True)
        foreign = [path for name in ("README", "notes.txt", "c") for path in folder.rglob(name)]
        met = warm(folder, "command", words=argv, is_powerless=True)
        said = met.told("err") or met.told("error") or ""
        assert met.code in codes, (argv, met.said)
        assert met.code < 2 or (re.search(words, said) and " --> " in said.replace("no store", " --> ")), (
            met.said
        )
        assert all(path.exists() for path in foreign), argv
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=True)
