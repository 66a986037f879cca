"""events: what happened in a run, appended as JSON lines; the one source of reports and dashboards."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lichen.core.disk import telling

Sink = Callable[[dict[str, Any]], None]


class Events:
    """The events of one run. Each is one write of one line, so that readers see whole events.

    The file is locked while the run is under way: a collector keeps what such a run made or found.

    Args:
        path: the JSONL file; None keeps nothing and only feeds the sinks.
        sinks: called with every event: the terminal, TensorBoard, MLflow.
    """

    def __init__(self, path: Path | None = None, sinks: tuple[Sink, ...] = ()) -> None:
        self.sinks = list(sinks)
        self._descriptor = -1
        self._path = path
        if path is not None:
            with telling(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def emit(self, kind: str, **fields: Any) -> None:
        event = {"at": round(time.time(), 6), "kind": kind, **fields}
        if self._descriptor >= 0 and kind != "progress":
            line = json.dumps(event, separators=(",", ":"), default=str).encode() + b"\n"
            with telling(self._path):
                os.write(self._descriptor, line)
        for sink in self.sinks:
            sink(event)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_open(path: Path) -> bool:
    """Whether the run that writes these events is under way."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole events of a file; a last line that was cut by a kill is left out."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def replay(path: Path, sink: Sink) -> int:
    """Feeds the events of a finished run to a sink; returns how many."""
    count = 0
    for event in read(path):
        sink(event)
        count += 1
    return count
