"""bars: intervals about zero, counts per label, and the heat map of a table, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lichen.report import labels
from lichen.report.axis import scale_of
from lichen.report.charts import fitting, legend
from lichen.report.markup import Attributes, Markup, join, tag
from lichen.report.svg import RIGHT, WIDTH, dot, picture, stroke, words

FAINTEST, STRONGEST = 0.06, 0.66
"""Opacity of a heat map's cells: at the strongest, figures on them still have a contrast of 4.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One row of an interval chart; `kind` colours it."""

    name: str
    value: float
    low: float
    high: float
    kind: str = "plain"


def intervals(title: str, spans: Sequence[Span], *, x_name: str) -> Markup:
    """One row per span: its name, its interval and its value, about a line at zero."""
    row_height, top = 30.0, 8.0
    foot = top + row_height * len(spans)
    start = max(labels.width_of(span.name) for span in spans) + 14
    x = scale_of([0.0, *(end for span in spans for end in (span.low, span.high))], start, WIDTH - RIGHT)
    parts = []
    for value, text in zip(*fitting(x), strict=True):
        parts += [
            stroke("axis-line" if value == 0 else "grid-line", x(value), top, x(value), foot),
            words(x(value), foot + 16, text, "tick", "middle"),
        ]
    for place, span in enumerate(spans):
        y = top + row_height * (place + 0.5)
        parts += [
            words(0, y + 4, span.name, "row-name"),
            stroke(f"span {span.kind}", x(span.low), y, x(span.high), y),
            dot(f"span-dot {span.kind}", x(span.value), y, 4.5, f"{span.name}: {span.value:+.4f}"),
        ]
    parts.append(words(WIDTH - RIGHT, foot + 33, x_name, "axis-name", "end"))
    return picture(title, WIDTH, foot + 40, *parts)


def columns(title: str, names: Sequence[str], groups: Sequence[tuple[str, Sequence[int]]]) -> Markup:
    """Counts per name as horizontal bars, one bar per group."""
    bar, gap, top = 11.0, 9.0, 26.0
    row_height = bar * len(groups) + gap
    clipped = [clip(name) for name in names]
    start = max(labels.width_of(name) for name in clipped) + 12
    room = WIDTH - start - 52
    parts = [legend([name for name, _ in groups], is_filled=True)]
    most = max(1, *(count for _, counts in groups for count in counts))
    for row, name in enumerate(clipped):
        y = top + row * row_height
        parts.append(words(start - 8, y + (row_height - gap) / 2 + 4, name, "tick", "end"))
        for place, (_, counts) in enumerate(groups):
            width, line = room * counts[row] / most, y + place * bar
            parts.append(
                tag(
                    "rect",
                    {"class": f"bar s{place}", "x": start, "y": line, "width": width, "height": bar - 1},
                )
            )
            parts.append(words(start + width + 5, line + bar - 2, str(counts[row]), "small"))
    return picture(title, WIDTH, top + row_height * len(names), *parts)


def heat(title: str, counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Counts of (row, column) pairs, shaded by their share of the row."""
    clipped = [clip(name) for name in names]
    room = max(labels.width_of(name) for name in clipped)
    is_turned = room > 20
    left, top, tail = (
        max(room + 12, 50.0),
        (min(room, 60.0) if is_turned else 16.0) + 22,
        30.0 if is_turned else 0.0,
    )
    side = max(20.0, min(36.0, (WIDTH - left - tail) / len(names)))
    parts = [words(0, top - 8, "truth ↓", "axis-name"), words(left, 11, "answer →", "axis-name")]
    for place, name in enumerate(clipped):
        middle = (place + 0.5) * side
        parts.append(words(left - 6, top + middle + 4, name, "tick", "end"))
        turn: Attributes = (
            {"transform": f"rotate(-40 {left + middle:.1f} {top - 6:.1f})"}
            if is_turned
            else {"text-anchor": "middle"}
        )
        parts.append(tag("text", {"x": left + middle, "y": top - 6, "class": "tick", **turn}, name))
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            share = count / sum(line) if count else 0.0
            parts.append(
                _cell(
                    left + column * side,
                    top + row * side,
                    side,
                    count,
                    share,
                    f"{names[row]} → {names[column]}",
                )
            )
    return picture(title, max(left + side * len(names) + tail, 120.0), top + side * len(names) + 4, *parts)


def _cell(x: float, y: float, side: float, count: int, share: float, pair: str) -> Markup:
    square: Attributes = {"x": x + 0.5, "y": y + 0.5, "width": side - 1, "height": side - 1}
    if not count:
        return tag("rect", {"class": "cell-empty", **square})
    shade = FAINTEST + (STRONGEST - FAINTEST) * share
    name = tag("title", None, f"{pair}: {count} ({share:.1%} of the row)")
    cell = tag("rect", {"class": "cell", "fill-opacity": shade, **square}, name)
    return join([cell, words(x + side / 2, y + side / 2 + 4, str(count), "count", "middle")])


def clip(name: str, length: int = 14) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
