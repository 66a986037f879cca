"""record: what the record itself costs: re-checking a folder, a run that computes nothing, the command line.

There is no peer here that does the same; the goals are the promises of the README. Times are medians.
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
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOALS = {
    "recheck_100k_s": 2.0, "first_run_s": 60.0, "second_run_s": 1.5,
    "step_s": 0.005, "found_s": 0.005, "event_s": 25e-6,
    "help_cpu_s": 0.150, "show_cpu_s": 0.150, "log_cpu_s": 0.150, "models_cpu_s": 0.150,
}  # fmt: skip
"""At most."""


def lichen(*words: str, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one command line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LICHEN_STORE": str(folder / ".lichen")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is kept, as where lichen is installed
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lichen", *words], cwd=folder, env=environment, check=True, capture_output=True
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def recheck(num_files: int, folder: Path) -> float:
    """Seconds to find that a folder of small files has not changed."""
    sys.path.insert(0, str(ROOT / "src"))
    from lichen.data import index

    for number in range(num_files):
        place = folder / f"class{number % 10}" / f"{number:06d}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(number.to_bytes(8, "little"))
    time.sleep(2.5)  # younger files are re-hashed: they could change again within one clock tick
    kept = folder.parent / "index.db"
    first = index.tree(folder, kept).digest
    seconds = repeated(lambda: index.tree(folder, kept), 5)
    assert index.tree(folder, kept).digest == first
    return seconds


def steps(folder: Path, times: int) -> tuple[float, float]:
    """Seconds that the record adds to a step which does nothing: computed, and found."""
    import lichen as li
    from lichen.core.array import Array
    from lichen.core.model import Model

    def nothing(*, seed: li.Seed = 0) -> Model:
        return Model.build(net="bench:none", options={}, weights={"w": Array.of(np.full(4, float(seed)))})

    one, spent = li.step(nothing), {"computed": [], "found": []}
    with li.opened(folder / ".lichen"):
        one(seed=0)
        for kind in spent:
            for seed in range(1, times + 1):
                start = time.perf_counter()
                one(seed=seed)
                spent[kind].append(time.perf_counter() - start)
    return median(spent["computed"]), median(spent["found"])


def event(folder: Path, times: int = 20_000) -> float:
    """Seconds to append one event."""
    from lichen.core.events import Events

    events = Events(folder / "events.jsonl")
    start = time.perf_counter()
    for number in range(times):
        events.emit("history", epoch=number, loss=0.5, accuracy=0.9)
    return (time.perf_counter() - start) / times


def repeated(work: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10 000 files, fewer repetitions")
    told = parser.parse_args()
    times = 3 if told.quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {"recheck_100k_s": recheck(10_000 if told.quick else 100_000, folder / "files")}
        figures["step_s"], figures["found_s"] = steps(folder / "steps", 30 * times)
        figures["event_s"] = event(folder)
        recipe = str(ROOT / "recipes" / "digits.yaml")
        figures["first_run_s"] = lichen("run", recipe, folder=folder)[0]
        figures["second_run_s"] = median(lichen("run", recipe, folder=folder)[0] for _ in range(times))
        for words in (("--help",), ("show", "digits"), ("log",), ("models",)):
            spent = median(lichen(*words, folder=folder)[1] for _ in range(times))
            figures[f"{words[0].strip('-')}_cpu_s"] = spent
    for label, value in figures.items():
        print(f"{label:18s} {value:10.6f}  at most {GOALS[label]}")
    print(json.dumps({"bench": "record", "figures": figures, "goal": GOALS,
                      "ok": all(figures[label] <= goal for label, goal in GOALS.items())}))  # fmt: skip


if __name__ == "__main__":
    main()
