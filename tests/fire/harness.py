"""harness: puts a store under kills, full disks and power loss, and says what was violated.

A warm process (`warm.py`) lives small recipes in forked children. The shim beneath it counts what changes on
disk, so that a child can be ended before or in the middle of every single operation, SQLite's included, or
meet a full disk from there on. From the record of a whole run the disk after a power loss is built: only what
was synced is sure to be there.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
IS_FULL = bool(os.environ.get("LICHEN_FULL"))
"""Slow tests then go through every operation, and not through every so-manieth."""
UNITS = """
import numpy as np
import lichen as li
from lichen.core.array import Array
from lichen.core.model import Model
from dataclasses import dataclass

@dataclass(frozen=True)
class Pair:
    left: Model
    right: Model

def a_model(numbers):
    large = np.resize(numbers, 3000) * np.arange(1, 3001)
    return Model.build(net="chain:net", options={}, weights={"w": Array.of(np.asarray(numbers, "float64")),
                                                             "large": Array.of(large)})

def numbers(model):
    return model.weights()["w"].numpy()

@li.step
def first(*, seed: li.Seed = 0) -> Model:
    return a_model(np.random.default_rng(seed).normal(size=4))

@li.step
def double(model: Model) -> Model:
    return a_model(2 * numbers(model))

@li.step
def split(model: Model) -> Pair:
    return Pair(left=a_model(numbers(model) + 1), right=a_model(numbers(model) - 1))

@li.step
def add(model: Model, other: Model) -> Model:
    return a_model(numbers(model) + 3 * numbers(other))
"""
CHAIN = """lichen: 1
steps:
  - chain:first: {seed: 5}
  - chain:double: {}
    as: twice
  - chain:split: {}
    as: pair
  - chain:add: {model: $pair.right, other: $twice}
"""
DIGITS = """lichen: 1
data: {source: digits, num_train: 300}
steps:
  - pretrain.train: {net: mlp, epochs: 2, batch_size: 64, precision: float32}
  - assess.evaluate: {split: validation}
  - adapt.finetune: {epochs: 2, batch_size: 64, head: new, precision: float32}
  - assess.evaluate: {split: test}
"""
PICTURES = """lichen: 1
data: pictures
steps:
  - augment.policy: {ops: [flip, crop]}
  - pretrain.train: {net: cnn, net_options: {widths: [8, 8], dense: 16}, epochs: 2, batch_size: 16}
  - adapt.finetune: {epochs: 1, head_epochs: 1, freeze: none}
"""
RECIPES = {"chain": CHAIN, "digits": DIGITS, "pictures": PICTURES}


def lay(folder: Path, recipe: str) -> Path:
    """A working folder with a recipe and what it needs."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPES[recipe])
    (folder / "units").mkdir()
    (folder / "units" / "chain.py").write_text(UNITS)
    if recipe == "pictures":
        _draw(folder / "pictures")
    return folder


def _draw(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    draws = np.random.default_rng(0)
    for number in range(120):
        label = number % 2
        place = folder / f"label{label}" / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 160, (16, 16, 3)) + 90 * (np.arange(16) % 2 == label)[:, None, None]
        Image.fromarray(np.minimum(pixels, 255).astype("uint8")).save(place)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended and what it said before that."""

    code: int
    said: list[dict[str, Any]]

    def told(self, name: str) -> Any:
        return next((entry[name] for entry in self.said if name in entry), None)

    @property
    def finished(self) -> dict[str, dict[str, str]]:
        """Outputs by call key, of every step whose end was told."""
        return {entry["key"]: entry["outputs"] for entry in self.said if "key" in entry}


class Warm:
    """The warm process."""

    def __init__(self) -> None:
        environment = {**os.environ, "LD_PRELOAD": str(shim()), "PYTHONPATH": os.pathsep.join(sys.path),
                       "OMP_NUM_THREADS": "1"}  # fmt: skip
        environment.pop("LICHEN_STORE", None)
        self.process = subprocess.Popen([sys.executable, str(HERE / "warm.py")], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def __call__(self, folder: Path, work: str = "live", **order: Any) -> Outcome:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"folder": str(folder), "work": work, **order}) + "\n")
        self.process.stdin.flush()
        return Outcome(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.communicate(timeout=10)


@lru_cache(maxsize=1)
def shim() -> Path:
    """The shim, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("the shim needs a C compiler")
    place = Path(tempfile.gettempdir()) / f"lichen-shim-{os.getpid()}.so"
    atexit.register(place.unlink, missing_ok=True)
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", place, HERE / "shim.c", "-ldl"], check=True)
    return place


def violations(warm: Warm, folder: Path, before: Outcome, whole: Outcome) -> list[str]:
    """What was lost or damaged in a folder, seen by a process that comes after.

    Args:
        before: what the process that was ended had told.
        whole: a run that nothing disturbed.
    """
    found = [*_damages(folder)]
    again = warm(folder)
    if again.code != 0:
        return [*found, f"the life cannot be lived again: {again.said}"]
    if again.finished != whole.finished:
        found.append("other digests than those of the undisturbed run")
    computed, finished = again.told("computed"), len(before.finished)
    if computed > len(whole.finished) - finished:
        found.append(f"{computed} of {len(whole.finished)} steps were computed after {finished} had finished")
    return [*found, *_damages(folder)]


def _damages(folder: Path) -> Iterator[str]:
    """What `store check` finds, and it re-hashes every blob."""
    from lichen.core.check import check
    from lichen.core.errors import LichenError
    from lichen.core.store import Store

    if not (folder / ".lichen" / "lichen.db").is_file():
        return
    try:
        store = Store(folder / ".lichen")
    except LichenError as error:
        yield f"the store does not open: {error}"
        return
    try:
        yield from map(str, check(store))
    finally:
        store.close()


@dataclass(slots=True)
class Disk:
    """Files under a folder as a process sees them, and what of them is sure to outlive a power loss.

    A name is sure when its folder was synced after it came or went; bytes, when their file was.
    """

    root: str
    names: dict[str, int] = field(default_factory=dict)
    sure_names: dict[str, int] = field(default_factory=dict)
    files: dict[int, bytearray] = field(default_factory=dict)
    sure_files: dict[int, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    marks: list[str] = field(default_factory=list)
    next_folder: int = -1

    def do(self, op: str, inode: int, at: int, path: str, other: str, data: bytes) -> None:
        if op == "mark":
            self.marks.append(path)
        elif op == "mkdir":
            self.names[path] = self.next_folder
            self.next_folder -= 1
        elif op == "create":
            self.names[path], self.files[inode] = inode, bytearray()
            self.sure_files.pop(inode, None)
        elif op == "truncate":
            self.files[inode] = bytearray()
        elif op == "write":
            held = self.files.setdefault(inode, bytearray())
            held.extend(bytes(max(0, at - len(held))))
            held[at : at + len(data)] = data
        elif op == "cut":
            held = self.files.setdefault(inode, bytearray())
            held[at:] = bytes(max(0, at - len(held)))
        elif op == "rename":
            moved = {name: found for name, found in self.names.items()
                     if name == path or name.startswith(f"{path}/")}  # fmt: skip
            for name, found in moved.items():
                del self.names[name]
                self.names[other + name.removeprefix(path)] = found
        elif op in ("unlink", "rmdir"):
            self.names.pop(path, None)
        elif op == "fsync":
            self._sync(inode, path)

    def _sync(self, inode: int, path: str) -> None:
        if path != self.root and self.names.get(path, 1) > 0:
            self.sure_files[inode] = bytes(self.files.get(inode, b""))
            return
        inside = {name: found for name, found in self.names.items() if os.path.dirname(name) == path}
        for name in [name for name in self.sure_names if os.path.dirname(name) == path]:
            del self.sure_names[name]
        self.sure_names.update(inside)

    def lay(self, folder: Path, draws: random.Random | None) -> None:
        """Writes what is left after a power loss under a folder.

        Args:
            draws: each thing that is not sure outlives it or not by these; None: nothing unsure does.
        """
        names = dict(self.sure_names)
        if draws:
            for name in sorted({*self.names, *self.sure_names}):
                if self.names.get(name) != self.sure_names.get(name) and draws.random() < 0.5:
                    names.pop(name, None)
                    if name in self.names:
                        names[name] = self.names[name]
        for name, inode in sorted(names.items()):
            place = folder / os.path.relpath(name, self.root)
            if not place.parent.is_dir():
                continue  # its folder was lost
            if inode < 0:
                place.mkdir(exist_ok=True)
                continue
            data = self.sure_files.get(inode, b"")
            if draws and draws.random() < 0.5:
                data = bytes(self.files.get(inode, b""))
            place.write_bytes(data)


def operations(record: Path) -> Iterator[tuple[str, int, int, str, str, bytes]]:
    """What the shim recorded, in order."""
    with record.open("rb") as file:
        while line := file.readline():
            op, inode, at, size, path, other = line.decode().rstrip("\n").split("\t")
            data = file.read(int(size)) if op == "write" else b""
            yield op, int(inode), int(at), path, other, data
