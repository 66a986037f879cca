"""axis: from data to pixels: scales, and ticks at round numbers.

Ticks follow Heckbert 1990, "Nice numbers for graph labels": steps of 1, 2 or 5 times a power of ten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DECADE = 10.0
LOG_FROM = 12.0
"""Figures whose greatest is this many times their least are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A map from [low, high] to [start, end] pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    is_whole: bool = False
    """Only whole numbers get ticks: epochs."""

    def __call__(self, value: float) -> float:
        share = (self._place(value) - self._place(self.low)) / (
            self._place(self.high) - self._place(self.low)
        )
        return self.start + share * (self.end - self.start)

    def _place(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers inside the range, about `count` of them."""
        if self.is_log:
            return log_ticks(self.low, self.high, count)
        found = ticks(self.low, self.high, count)
        return [value for value in found if value.is_integer()] if self.is_whole else found


def scale_of(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    low: float | None = None,
    high: float | None = None,
    may_be_log: bool = False,
    margin: float = 0.06,
) -> Scale:
    """A scale that shows all values.

    Args:
        low: the least value shown; None: the least value less a margin.
        high: the greatest, likewise.
        margin: as a share of the range.
    """
    least, most = (min(values), max(values)) if values else (0.0, 1.0)
    if may_be_log and least > 0 and most / least >= LOG_FROM:
        room = (most / least) ** margin
        return Scale(low=least / room, high=most * room, start=start, end=end, is_log=True)
    room = (most - least) * margin or max(abs(most) * margin, 1e-3)
    lowest, highest = least - room if low is None else low, most + room if high is None else high
    return Scale(low=lowest, high=max(highest, lowest + 1e-9), start=start, end=end)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high]."""
    rough = (high - low) / max(count, 1)
    power = DECADE ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, DECADE) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Powers of ten within [low, high], with 2 and 5 times them where there is room."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [
            factor * DECADE**power
            for power in decades
            for factor in factors
            if low <= factor * DECADE**power <= high
        ]
        if len(found) <= count + 1:
            return found
    stride = math.ceil(len(found) / count)
    return found[::stride]


def tick_texts(values: Sequence[float]) -> list[str]:
    """Ticks of one axis, all with the same number of decimals."""
    return [_thousands(value, _decimals(values)) for value in values]


def _decimals(values: Sequence[float]) -> int:
    for decimals in range(9):
        if all(abs(round(value, decimals) - value) < 1e-9 + abs(value) * 1e-9 for value in values):
            return decimals
    return 9


def _thousands(value: float, decimals: int) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):g} {unit}"
    return f"{value:.{decimals}f}".replace("-", "−")


def log_texts(values: Sequence[float]) -> list[str]:
    """Ticks of a logarithmic axis, each as short as it can be."""
    return [_thousands(value, _decimals([value])) for value in values]
