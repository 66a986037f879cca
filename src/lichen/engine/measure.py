"""measure: what a value costs on this machine: latency, throughput, memory, bytes."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from lichen.core import machine
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.engine import answer
from lichen.engine.inputs import feeds

LIMIT_S = 0.5
BATCHES = (16, 64)
"""Throughput is the best of these batch sizes."""

Runner = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An observation: of one machine at one time, never part of a digest."""

    latency_ms: float
    """Median time of one row."""
    rows_per_s: float
    batch_size: int
    threads: int
    size_bytes: int
    peak_bytes: int
    """The most memory the whole process ever held."""
    is_busy: bool
    """Others kept the cores occupied: distrust the times."""
    machine: str

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def cost(value: Model | Program, *, limit_s: float = LIMIT_S) -> Cost:
    """Times a Model or Program with one thread and with all, within about `limit_s`."""
    counts = sorted({1, machine.num_cores()})
    row = feeds.blank(value.assets)
    was = torch.get_num_threads()
    try:
        found = [_timed(value, threads, row, limit_s / len(counts)) for threads in counts]
    finally:
        torch.set_num_threads(was)
    # One thread unless more of them are clearly worth it: they are taken from someone.
    _, threads = min((entry[0] * (1 if place == 0 else 1.05), place) for place, entry in enumerate(found))
    rows_per_s, batch_size = max((entry[1], entry[2]) for entry in found)
    return Cost(
        latency_ms=found[threads][0], rows_per_s=rows_per_s, batch_size=batch_size, threads=counts[threads],
        size_bytes=value.size_bytes, peak_bytes=peak_bytes(), is_busy=machine.is_busy(),
        machine=machine.fingerprint(),
    )  # fmt: skip


def _timed(value: Model | Program, threads: int, row: np.ndarray, limit_s: float) -> tuple[float, float, int]:
    """Latency in ms, rows per second and the batch size that gave them."""
    run = answer.asked(value, threads=threads if isinstance(value, Program) else None)
    if isinstance(value, Model):
        torch.set_num_threads(threads)
    row_s = _median_s(run, row[None], limit_s / 2)
    best = (1.0 / row_s, 1)
    for batch_size in BATCHES:
        if batch_size * row_s > limit_s:
            break
        batch_s = _median_s(run, np.stack([row] * batch_size), limit_s / 4)
        best = max(best, (batch_size / batch_s, batch_size))
    return 1000 * row_s, *best


def _median_s(run: Runner, images: np.ndarray, limit_s: float, at_most: int = 50) -> float:
    run(images)
    times: list[float] = []
    while sum(times) < limit_s and len(times) < at_most:
        start = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - start)
    return median(times)


def peak_bytes() -> int:
    """Peak resident memory; Linux counts in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
