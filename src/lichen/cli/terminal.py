"""terminal: tables, progress with rate and time left, and errors in their form."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from lichen.core.errors import LichenError
from lichen.core.value import count_text, rate_text, seconds_text, size_text


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Aligned columns; the first row is the head.

    Args:
        right: columns that are aligned right.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                               for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                     for row in rows)  # fmt: skip


HEAD = ("step", "validation", "95 % interval", "parameters", "size", "latency", "rows/s", "took")
WIDTHS = (24, 20, 16, 10, 8, 9, 8, 9)
SOON_S = 10
"""Seconds left that are no longer counted."""


def life_head() -> str:
    return "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                     for i, (cell, width) in enumerate(zip(HEAD, WIDTHS, strict=True)))  # fmt: skip


def life_row(row: dict[str, Any]) -> str:
    """One row of the life table; a Dataset or a tokenizer says what it holds instead."""
    name, took = row["step"].ljust(WIDTHS[0]), "found" if row.get("found") else seconds_text(row["seconds"])
    if not row["num_params"]:
        between = sum(WIDTHS[1:-1]) + 2 * (len(WIDTHS) - 3)
        return f"{name}  {row['facts'].ljust(between)}  {took.rjust(WIDTHS[-1])}"
    cells = [
        f"{row['metric']} {row['value']:.4f}" if row["value"] is not None else "-",
        f"[{row['low']:.4f}, {row['high']:.4f}]" if row["low"] is not None else "-",
        count_text(row["num_params"]),
        size_text(row["size_bytes"]),
        _latency(row["latency_ms"]) if row["latency_ms"] is not None else "-",
        (rate_text(row["throughput"]) + ("~" if row["is_busy"] else ""))
        if row["throughput"] is not None
        else "-",
        took,
    ]
    return "  ".join([name, *(cell.rjust(width) for cell, width in zip(cells, WIDTHS[1:], strict=True))])


def _latency(latency_ms: float) -> str:
    return f"{latency_ms:.2f} ms" if latency_ms < 1000 else f"{latency_ms / 1000:.2f} s"


class Progress:
    """A sink that shows what is happening: one moving line on a terminal, plain lines elsewhere.

    Args:
        stream: where to write.
        every_s: seconds between plain lines.
    """

    def __init__(self, stream: TextIO | None = None, every_s: float = 15.0) -> None:
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.every_s = 0.1 if self.is_terminal else every_s
        self._last_s = time.monotonic()
        self._shown = False
        self._began: tuple[Any, Any, float, int] = (None, None, 0.0, 0)
        """Key and phase of the step in progress, when it was first seen and how far it was."""

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "progress" and time.monotonic() - self._last_s >= self.every_s:
            self._last_s = time.monotonic()
            self._show(self._bar(event))
        elif kind in ("warning", "note"):
            self.clear()
            self.stream.write(f"{'warning' if kind == 'warning' else 'note'}: {event.get('text', '')}\n")
        elif kind in ("step.end", "step.found", "step.failed"):
            self.clear()

    def _bar(self, event: dict[str, Any]) -> str:
        done, total = event.get("done", 0), event.get("total") or 0
        if self._began[:2] != (event.get("key"), event.get("what")):
            self._began = (event.get("key"), event.get("what"), time.monotonic(), done)
        per_s = (done - self._began[3]) / max(time.monotonic() - self._began[2], 1e-6)
        pace = f"{rate_text(per_s)} steps/s  {_left((total - done) / per_s)} left" if per_s and total else ""
        share = done / total if total else 0.0
        filled = "#" * round(20 * share)
        return f"  {event.get('step', '')} [{filled:<20}] {share:4.0%}  {pace}"

    def _show(self, text: str) -> None:
        if self.is_terminal:
            self.stream.write(f"\r\x1b[2K{text[:118]}")
            self._shown = True
        else:
            self.stream.write(text.rstrip() + "\n")
        self.stream.flush()

    def clear(self) -> None:
        if self._shown:
            self.stream.write("\r\x1b[2K")
            self.stream.flush()
            self._shown = False


def _left(left_s: float) -> str:
    return seconds_text(left_s) if left_s >= SOON_S else "seconds"


def error_text(error: LichenError) -> str:
    return f"error: {error}"
