"""figures: how numbers, times and digests are written on the page and the card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lichen.core.digest import short
from lichen.core.tally import Row
from lichen.core.value import count_text, rate_text, size_text
from lichen.core.value import seconds_text as seconds

NONE = "–"
"""Stands where nothing was measured."""
LONGEST = 260
"""Characters of an option or decision that are shown."""


def metric(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}".replace("-", "−")


def signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−") if round(value, 4) else "0.0000"


def interval(low: float | None, high: float | None, *, is_signed: bool = False) -> str:
    if low is None or high is None:
        return NONE
    write = signed if is_signed else metric
    return f"[{write(low)}, {write(high)}]"


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def ratio(value: float) -> str:
    return f"{value:.1f}×" if value < 10 else f"{value:.0f}×"


def count(value: float | None) -> str:
    return NONE if value is None else count_text(value)


def size(value: float | None) -> str:
    return NONE if value is None else size_text(value)


def latency(row: Row) -> str:
    return NONE if row.latency_ms is None else f"{row.latency_ms:.3g} ms" + (" ~" if row.is_busy else "")


def throughput(row: Row) -> str:
    return NONE if row.throughput is None else rate_text(row.throughput) + (" ~" if row.is_busy else "")


def moment(recorded: str) -> str:
    """A recorded time to the minute."""
    return recorded[:16].replace("T", " ") + " UTC" if recorded else NONE


def name(thing: str) -> str:
    """calibration_error -> calibration error."""
    return thing.replace("_", " ")


def whole(number: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f") if number >= 10_000 else str(number)


def times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def cell(thing: str | int | float | None) -> str:
    """A cell of a table."""
    return NONE if thing is None else f"{thing:.4g}" if isinstance(thing, float) else str(thing)


def plain(thing: Any) -> str:
    """An option or decision in one line: `layout channels_last, threads 1`."""
    said = _words(thing)
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def _words(thing: Any, is_inside: bool = False) -> str:
    if isinstance(thing, Mapping) and thing:
        said = ", ".join(f"{key} {_words(value, True)}" for key, value in sorted(thing.items()))
        return f"({said})" if is_inside and len(thing) > 1 else said
    if isinstance(thing, list | tuple) and thing:
        return ", ".join(_words(value, True) for value in thing)
    return thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False)


__all__ = [
    "count",
    "interval",
    "latency",
    "metric",
    "moment",
    "name",
    "plain",
    "ratio",
    "seconds",
    "share",
    "short",
    "signed",
    "size",
    "throughput",
    "times",
    "whole",
]
