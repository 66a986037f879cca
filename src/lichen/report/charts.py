"""charts: lines, scatters and reliability diagrams as SVG that the page's style sheet colours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lichen.report import labels
from lichen.report.axis import Scale, log_texts, scale_of, tick_texts
from lichen.report.markup import Markup, join, tag
from lichen.report.svg import RIGHT, WIDTH, dot, path, picture, stroke, words

HEIGHT = 270.0
TOP, BOTTOM = 28.0, 40.0
NUM_COLOURS = 4
MARKS_UP_TO = 40
"""Lines of more points carry no marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line by its name, through points from left to right."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mark of a scatter: a name, a cost, a figure with its interval, and whether nothing beats it."""

    name: str
    x: float
    y: float
    low: float
    high: float
    is_front: bool = True


def _left(y: Scale) -> float:
    return max(labels.width_of(text) for text in _texts(y, y.ticks())) + 10.0


def _texts(scale: Scale, values: Sequence[float]) -> list[str]:
    return log_texts(values) if scale.is_log else tick_texts(values)


def fitting(scale: Scale) -> tuple[list[float], list[str]]:
    """As many ticks of a horizontal axis as have room for their texts."""
    for count in (6, 5, 4, 3, 2):
        values = scale.ticks(count)
        texts = _texts(scale, values)
        ends = [
            (scale(value) - labels.width_of(text) / 2, scale(value) + labels.width_of(text) / 2)
            for value, text in zip(values, texts, strict=True)
        ]
        if all(one[1] + 8 <= two[0] for one, two in itertools.pairwise(ends)):
            break
    return values, texts


def axes(x: Scale, y: Scale, x_name: str, y_name: str = "") -> Markup:
    """Grid lines, ticks and the names of both axes; the upright one's, if any, stands above it."""
    parts = []
    for value, text in zip(y.ticks(), _texts(y, y.ticks()), strict=True):
        parts += [
            stroke("grid-line", x.start, y(value), x.end, y(value)),
            words(x.start - 7, y(value) + 4, text, "tick", "end"),
        ]
    for value, text in zip(*fitting(x), strict=True):
        parts += [
            stroke("tick-mark", x(value), y.start, x(value), y.start + 4),
            words(x(value), y.start + 17, text, "tick", "middle"),
        ]
    parts.append(stroke("axis-line", x.start, y.start, x.end, y.start))
    for scale, name, place, anchor in (
        (y, y_name, (0.0, 12.0), None),
        (x, x_name, (x.end, y.start + 34), "end"),
    ):
        said = f"{name} log scale".strip() if scale.is_log else name
        parts += [words(*place, said, "axis-name", anchor)] if said else []
    return join(parts)


def legend(names: Sequence[str], *, is_filled: bool = False) -> Markup:
    """Names beside their lines or, filled, their bars, above the picture; one alone needs none."""
    if len(names) < 2:
        return Markup("")
    parts, x = [], WIDTH - sum(labels.width_of(name) + 34 for name in names) + 10
    for place, name in enumerate(names):
        kind = f"s{place % NUM_COLOURS}"
        bar = tag("rect", {"class": f"bar {kind}", "x": x + 6, "y": 3, "width": 12, "height": 9})
        parts += [
            bar if is_filled else stroke(f"line {kind}", x, 8, x + 18, 8),
            words(x + 23, 12, name, "tick"),
        ]
        x += labels.width_of(name) + 34
    return join(parts)


def lines(title: str, series: Sequence[Series], *, x_name: str, may_be_log: bool = False) -> Markup:
    """One line per series over a shared axis of whole numbers."""
    ys = [y for one in series for _, y in one.points]
    y = scale_of(ys, HEIGHT - BOTTOM, TOP, may_be_log=may_be_log)
    xs = [x for one in series for x, _ in one.points]
    x = replace(scale_of(xs, _left(y), WIDTH - RIGHT, margin=0.03), is_whole=True)
    parts = [axes(x, y, x_name), legend([one.name for one in series])]
    for place, one in enumerate(series):
        at = [(x(a), y(b)) for a, b in one.points]
        parts.append(path(f"line s{place % NUM_COLOURS}", at))
        if len(at) <= MARKS_UP_TO:
            parts += [
                dot(f"mark s{place % NUM_COLOURS}", a, b, 2.2, f"{one.name} at {point[0]:g}: {point[1]:.4g}")
                for (a, b), point in zip(at, one.points, strict=True)
            ]
    return picture(title, WIDTH, HEIGHT, *parts)


def scatter(title: str, points: Sequence[Point], *, x_name: str) -> Markup:
    """Points with their intervals; those that nothing beats are filled and joined."""
    y = scale_of([end for point in points for end in (point.low, point.high)], HEIGHT - BOTTOM, 8.0)
    x = scale_of([point.x for point in points], _left(y), WIDTH - RIGHT, may_be_log=True, margin=0.12)
    at = [(x(point.x), y(point.y)) for point in points]
    front = sorted(place for place, point in zip(at, points, strict=True) if point.is_front)
    parts = [axes(x, y, x_name), path("front-line", front) if len(front) > 1 else Markup("")]
    for (a, b), point in zip(at, points, strict=True):
        parts.append(stroke("reach", a, y(point.low), a, y(point.high)))
        parts.append(
            dot(
                "point front" if point.is_front else "point",
                a,
                b,
                4.5,
                f"{point.name}: {point.y:.4g} at {point.x:.4g}",
            )
        )
    boxes = labels.place(at, [point.name for point in points], labels.Box(x.start, 0.0, WIDTH, y.start))
    for box, point in zip(boxes, points, strict=True):
        if box is not None:
            parts.append(words(box.left, box.bottom - 3, point.name, "point-name"))
    return picture(title, WIDTH, HEIGHT, *parts)


def reliability(title: str, bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Accuracy over confidence beside the diagonal, and below it how many rows each bin holds.

    Args:
        bins: mean confidence, accuracy and rows of the bins that have any.
    """
    side, foot = 290.0, 34.0
    x, y = Scale(low=0, high=1, start=40, end=WIDTH - RIGHT), Scale(low=0, high=1, start=TOP + side, end=TOP)
    most = max(rows for _, _, rows in bins)
    parts = [axes(x, y, "confidence", "accuracy"), stroke("guide", x(0), y(0), x(1), y(1))]
    for confidence, accuracy, rows in bins:
        parts.append(stroke("gap", x(confidence), y(confidence), x(confidence), y(accuracy)))
        parts.append(
            dot(
                "point front",
                x(confidence),
                y(accuracy),
                3.0 + 6.0 * (rows / most) ** 0.5,
                f"{rows} rows: confidence {confidence:.3f}, accuracy {accuracy:.3f}",
            )
        )
    return picture(title, WIDTH, TOP + side + foot + 6, *parts)
