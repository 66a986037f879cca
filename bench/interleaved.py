"""interleaved: sides of a comparison run by turns, one epoch each, every side in a process of its own.

A side calls `gate.open()` when it has imported what it needs, `gate()` whenever an epoch has ended and
`gate.end()` when training has returned. In the first two it waits, clocks stopped, until it is its turn
again. So all sides see the same machine, and none has another's libraries, threads or memory in its
process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src"


@dataclass(slots=True)
class Laps:
    """What one side took: lap 0 is all up to the end of the first epoch; the last follows the last epoch."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, message: Mapping[str, Any]) -> None:
        self.wall_s.append(message["wall_s"])
        self.cpu_s.append(message["cpu_s"])


class Gate:
    """The child's end: talks JSON lines with the parent, and keeps the clocks."""

    def __init__(self) -> None:
        # Libraries print: they get stderr, the parent keeps the real stdout.
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        self._start = (0.0, 0.0)

    def open(self, **facts: Any) -> None:
        """Waits for the first turn; the clocks start here."""
        self._say(facts)
        self._wait()

    def __call__(self) -> None:
        self._lap()
        self._wait()

    def end(self) -> None:
        """Stops the clocks for good."""
        self._lap()

    def tell(self, **facts: Any) -> None:
        """What is to be known of the side beside its laps; the last message."""
        self._say(facts)

    def _lap(self) -> None:
        wall_s, cpu_s = _clocks()
        self._say({"wall_s": wall_s - self._start[0], "cpu_s": cpu_s - self._start[1]})

    def _wait(self) -> None:
        if not sys.stdin.readline():
            sys.exit("the comparison was stopped")
        self._start = _clocks()

    def _say(self, message: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")


def _clocks() -> tuple[float, float]:
    """Wall and CPU seconds, children that have ended included."""
    times = os.times()
    return time.perf_counter(), sum(times[:4])


class Worker:
    """The parent's end of one side."""

    def __init__(self, script: str, side: str, arguments: Sequence[str], folder: Path) -> None:
        self.side, self.laps = side, Laps()
        self._log = folder / f"{side}.log"
        paths = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, script, *arguments, "--side", side], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.open("w"), cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )  # fmt: skip

    def ready(self) -> None:
        self.laps.facts.update(self._hear())

    def turn(self) -> None:
        """One lap."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.laps.add(self._hear())

    def finish(self) -> None:
        self.laps.facts.update(self._hear())
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"side {self.side} ended early:\n{self._log.read_text()[-2000:]}")
        return json.loads(line)


def compare(
    script: str, sides: Sequence[str], arguments: Sequence[str], *, epochs: int, folder: Path,
    note: Callable[[str], None],
) -> dict[str, Laps]:  # fmt: skip
    """Runs every side by turns; each round begins one side later than the round before.

    Args:
        script: runs one side when told `--side NAME`.
        epochs: how often each side calls its gate.
    """
    workers: list[Worker] = []
    try:
        for side in sides:
            # One after the other: imports of all at once would fill a small machine.
            workers.append(Worker(script, side, arguments, folder))
            workers[-1].ready()
        for number in range(epochs):
            for worker in workers[number % len(workers) :] + workers[: number % len(workers)]:
                worker.turn()
                note(f"epoch {number + 1}  {worker.side:20} {worker.laps.wall_s[-1]:7.1f} s")
        for worker in workers:
            worker.turn()
            worker.finish()
    finally:
        for worker in workers:
            worker.stop()
    return {worker.side: worker.laps for worker in workers}
