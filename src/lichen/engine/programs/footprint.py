"""footprint: the memory of a process that does nothing but run a Program.

Read in a process of its own: this one holds data, torch and other programs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lichen.core.errors import StepError
from lichen.core.find import PACKAGE
from lichen.core.program import Program
from lichen.engine.programs import runtimes

ANSWERS = 3
"""Runtimes take some of their memory with the first answers."""


def peak_bytes(program: Program, threads: int) -> int:
    """The most resident memory of a process that loads a Program and answers single rows.

    The interpreter, numpy and the runtime are in it: without them nothing answers.

    Raises:
        StepError: the process failed.
    """
    from lichen.engine.inputs import feeds  # not above: the child is this file too, and is to carry no torch

    row = feeds.blank(program.assets)
    with tempfile.TemporaryDirectory() as folder:
        program.write(folder)
        done = subprocess.run(
            [sys.executable, "-m", __name__, folder, program.runtime, program.precision, str(threads),
             row.dtype.name, ",".join(map(str, row.shape))],
            capture_output=True, text=True, check=False, cwd=PACKAGE.parent,
        )  # fmt: skip
    if done.returncode:
        raise StepError(f"a process of its own could not run this program: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _answer(folder: str, runtime: str, precision: str, threads: str, kind: str, shape: str) -> None:
    files = {path.name: memoryview(path.read_bytes()) for path in Path(folder).iterdir()}
    run = runtimes.load(runtime, files, threads=int(threads), precision=precision)
    for _ in range(ANSWERS):
        run(np.zeros((1, *map(int, shape.split(","))), kind))


def _own_peak_bytes() -> int:
    """Of this process alone: what `getrusage` says of a child begins with its parent's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: Sequence[str]) -> None:
    _answer(*arguments)
    sys.stdout.write(f"{_own_peak_bytes()}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
