"""pipeline: what it costs to run a chain of four tiny steps, and to run it again when nothing changed.

Beside DVC, Metaflow and ZenML from their packages, each used as its tutorial does: DVC with a stage per step
in dvc.yaml, Metaflow with a FlowSpec (it has no cache: running again is running), ZenML with cached steps on
its local stack. Every run is a fresh process of the tool's own command; the sides take turns; figures are
medians of wall and CPU seconds. The steps make a thousand numbers, so what is measured is the tool.

    python -m venv peers && peers/bin/pip install dvc metaflow 'zenml[local]' numpy
    python bench/pipeline.py --peers peers/bin
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
GOALS = {"dvc": 5.0}
"""A run again of lichen's is this many times faster, at least."""

UNITS = """
import numpy as np
import lichen as li
from lichen.core.array import Array
from lichen.core.model import Model

def a_model(numbers):
    return Model.build(net="chain:net", options={}, weights={"w": Array.of(numbers)})

@li.step
def first(*, seed: li.Seed = 0) -> Model:
    return a_model(np.arange(1000.0) + seed)

@li.step
def double(model: Model) -> Model:
    return a_model(2 * model.weights()["w"].numpy())

@li.step
def shift(model: Model) -> Model:
    return a_model(1 + model.weights()["w"].numpy())

@li.step
def add(model: Model, other: Model) -> Model:
    return a_model(model.weights()["w"].numpy() + other.weights()["w"].numpy())
"""
RECIPE = """lichen: 1
steps:
  - chain:first: {seed: SEED}
  - chain:double: {}
    as: twice
  - chain:shift: {}
  - chain:add: {other: $twice}
"""
STAGE = """import json, sys
import numpy as np
name, *paths = sys.argv[1:]
read = [np.asarray(json.load(open(path))) for path in paths[:-1]]
made = {"first": lambda: np.arange(1000.0) + json.load(open("seed.json")), "double": lambda: 2 * read[0],
        "shift": lambda: 1 + read[0], "add": lambda: read[0] + read[1]}[name]()
json.dump(made.tolist(), open(paths[-1], "w"))
"""
DVC = """stages:
  first: {cmd: PYTHON stage.py first a.json, deps: [stage.py, seed.json], outs: [a.json]}
  double: {cmd: PYTHON stage.py double a.json b.json, deps: [stage.py, a.json], outs: [b.json]}
  shift: {cmd: PYTHON stage.py shift b.json c.json, deps: [stage.py, b.json], outs: [c.json]}
  add: {cmd: PYTHON stage.py add c.json b.json d.json, deps: [stage.py, b.json, c.json], outs: [d.json]}
"""
FLOW = """import numpy as np
from metaflow import FlowSpec, Parameter, step

class Chain(FlowSpec):
    seed = Parameter("seed", default=0)

    @step
    def start(self):
        self.a = np.arange(1000.0) + self.seed
        self.next(self.double)

    @step
    def double(self):
        self.b = 2 * self.a
        self.next(self.shift)

    @step
    def shift(self):
        self.c = 1 + self.b
        self.next(self.end)

    @step
    def end(self):
        self.d = self.c + self.b

if __name__ == "__main__":
    Chain()
"""
ZENML = """import sys
import numpy as np
from zenml import pipeline, step

@step
def first(seed: int) -> np.ndarray:
    return np.arange(1000.0) + seed

@step
def double(a: np.ndarray) -> np.ndarray:
    return 2 * a

@step
def shift(b: np.ndarray) -> np.ndarray:
    return 1 + b

@step
def add(c: np.ndarray, b: np.ndarray) -> np.ndarray:
    return c + b

@pipeline
def chain(seed: int):
    b = double(first(seed))
    add(shift(b), b)

if __name__ == "__main__":
    chain(int(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A tool: how its folder is laid out, how a new seed is told to it, and its command."""

    lay: Callable[[Path], None]
    seed: Callable[[Path, int], None]
    command: Callable[[Path, int], list[str]]


def sides(peers: Path | None) -> dict[str, Side]:
    found = {"lichen": Side(_lay_lichen, _seed_lichen, lambda folder, seed: [
        sys.executable, "-m", "lichen", "run", "recipe.yaml", "--no-test"])}  # fmt: skip
    if peers is None:
        return found
    python = str(peers / "python")
    return {**found, "dvc": Side(
        lambda folder: _lay_dvc(folder, peers), lambda folder, seed: _write(folder / "seed.json", str(seed)),
        lambda folder, seed: [str(peers / "dvc"), "repro", "-q"],
    ), "metaflow": Side(
        lambda folder: _write(folder / "flow.py", FLOW), lambda folder, seed: None,
        lambda folder, seed: [python, "flow.py", "run", "--seed", str(seed)],
    ), "zenml": Side(
        lambda folder: _write(folder / "chain.py", ZENML), lambda folder, seed: None,
        lambda folder, seed: [python, "chain.py", str(seed)],
    )}  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _lay_lichen(folder: Path) -> None:
    (folder / "units").mkdir()
    (folder / "units" / "chain.py").write_text(UNITS)


def _seed_lichen(folder: Path, seed: int) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.replace("SEED", str(seed)))


def _lay_dvc(folder: Path, peers: Path) -> None:
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(DVC.replace("PYTHON", str(peers / "python")))
    for words in (["git", "init", "-q"], [str(peers / "dvc"), "init", "-q"],
                  [str(peers / "dvc"), "config", "core.analytics", "false"]):  # fmt: skip
        subprocess.run(words, cwd=folder, check=True, capture_output=True)


def timed(side: Side, folder: Path, seed: int) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder), "USERNAME": "bench",
                   "ZENML_ANALYTICS_OPT_IN": "false", "ZENML_CONFIG_PATH": str(folder / "zen"),
                   "AUTO_OPEN_DASHBOARD": "false", "DVC_NO_ANALYTICS": "1"}  # fmt: skip
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    side.seed(folder, seed)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = side.command(folder, seed)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{words} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=Path, help="bin of an environment with dvc, metaflow, zenml, numpy")
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    told = parser.parse_args()
    found = sides(told.peers.absolute() if told.peers else None)
    spent: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {"new": [], "again": []} for name in found
    }
    with tempfile.TemporaryDirectory() as name:
        folders = {side: Path(name, side) for side in found}
        for side, folder in folders.items():
            folder.mkdir()
            found[side].lay(folder)
            timed(found[side], folder, 0)  # stores and caches are made
        for turn in range(1, 3 if told.quick else 6):
            for side, folder in folders.items():
                spent[side]["new"].append(timed(found[side], folder, turn))
                spent[side]["again"].append(timed(found[side], folder, turn))
    figures = {
        side: {f"{kind}_{what}_s": round(median(one[place] for one in times), 3)
               for kind, times in kinds.items() for place, what in ((0, "wall"), (1, "cpu"))}
        for side, kinds in spent.items()
    }  # fmt: skip
    for side, row in figures.items():
        ratio = row["again_wall_s"] / figures["lichen"]["again_wall_s"]
        for kind in ("new", "again"):
            print(f"{side:9s} {kind:6s} {row[f'{kind}_wall_s']:7.3f} s, CPU {row[f'{kind}_cpu_s']:7.3f} s")
        print(f"{side:9s} again takes {ratio:.1f} times as long as lichen's")
    ok = all(figures[side]["again_wall_s"] >= goal * figures["lichen"]["again_wall_s"]
             for side, goal in GOALS.items() if side in figures)  # fmt: skip
    print(json.dumps({"bench": "pipeline", "figures": figures, "goal": GOALS, "ok": ok}))


if __name__ == "__main__":
    main()
