"""race: which of several executables answers fastest here, timed in turns so that all meet the same load."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from statistics import quantiles
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)
Runner = Callable[[np.ndarray], np.ndarray]
LIMIT_S = 1.5
"""Seconds that a whole race may take beside one run of each to warm up."""
ROUNDS = 60
"""Turns per runner at most."""
NEAR = 0.05
"""Times that differ by a smaller share are equal here."""


def latencies_ms(
    runners: Mapping[Name, Runner], row: np.ndarray, *, limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, float]:  # fmt: skip
    """The time of one row per runner, the lower quartile of many: the load of others only adds.

    Args:
        row: that is asked about, such as `feeds.drawn` gives.
        clock: `time.process_time` compares runners of one thread also where others take turns on its core.
    """
    one = row[None]
    times: dict[Name, list[float]] = {name: [] for name in runners}
    for run in runners.values():
        run(one)
    started = clock()
    for turn in range(ROUNDS):
        for name, run in runners.items():
            # Untimed: the others have filled the caches, and of a small net that took four times the net.
            run(one)
            start = clock()
            run(one)
            times[name].append(clock() - start)
        if turn >= 2 and clock() - started > limit_s:
            break
    return {name: round(1000 * quantiles(found)[0], 4) for name, found in times.items()}


def winner(found_ms: Mapping[str, float], *, margin: float = NEAR) -> str:
    """The fastest; near ties go to the one named earlier, so that noise does not choose."""
    best, *others = found_ms
    for name in others:
        if found_ms[name] < (1.0 - margin) * found_ms[best]:
            best = name
    return best
