"""frontier: the forms that a study of compression found, by what they lost and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.engine.compression.frontier import front
from lichen.report import charts, figures
from lichen.report.charts import Point
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, figure, grid, note, section, table, tag

TITLE = "How small and fast it can be"
HEAD = ("what was done", "value", "metric", "drop", "interval for all", "latency", "size", "verdict")


def frontier(found: Findings) -> Markup:
    """The metric of every form against latency and size, and a table of them."""
    study = found.compression
    if not study:
        return Markup("")
    made = [point for point in study["points"] if point["digest"]]
    pictures = grid(_against(made, study, "latency", "latency of one row, ms", "latency_ms", 1.0),
                    _against(made, study, "size", "size, kB", "size_bytes", 1e-3))  # fmt: skip
    rows = [_row(point, found.value.digest) for point in study["points"]]
    said = (
        f"{study['verdict'].capitalize()}. {figures.name(study['metric']).capitalize()} "
        f"{figures.metric(study['whole'])} as given, on {figures.whole(study['num_rows'])} validation rows. "
        f"For {study['asked']['profile']['words']}. Filled: nothing is both better and cheaper."
    )
    return section("frontier", TITLE, pictures, table(HEAD, rows, left=(0, 1, 7)), note(said))


def _against(
    made: list[Mapping[str, Any]], study: Mapping[str, Any], what: str, unit: str, cost: str, scale: float
) -> Markup:
    on_front = front([(point[cost], point["drop"]) for point in made])
    points = [
        Point(
            name=point["words"], x=scale * point[cost], y=point["quality"], is_front=is_on_front,
            low=point["quality"] - _reach(point), high=point["quality"] + _reach(point),
        )
        for point, is_on_front in zip(made, on_front, strict=True)
    ]  # fmt: skip
    metric = figures.name(study["metric"])
    drawn = charts.scatter(f"{metric} against {what} of {len(points)} forms", points, x_name=unit)
    return figure(f"{metric.capitalize()} against {what}", drawn)


def _reach(point: Mapping[str, Any]) -> float:
    """Of the paired drop; a form with the model's own answers has none."""
    return 0.0 if point["is_exact"] else (point["high"] - point["low"]) / 2


def _row(point: Mapping[str, Any], mine: str) -> list[Inside]:
    name = tag("b" if point["digest"] == mine else "span", None, point["words"])
    if not point["digest"]:
        return [name, figures.NONE, *[figures.NONE] * 5, f"refused: {point['refused']}"]
    interval = "the same answers" if point["is_exact"] else figures.interval(
        point["low"], point["high"], is_signed=True)  # fmt: skip
    return [
        name,
        tag("span", {"class": "mono"}, figures.short(point["digest"])),
        figures.metric(point["quality"]),
        figures.signed(point["drop"]),
        interval,
        f"{point['latency_ms']:.3g} ms",
        figures.size(point["size_bytes"]),
        f"refused: {point['refused']}" if point["refused"] else "may be had",
    ]
