"""beside: several ways to one task side by side, where that was studied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core.value import seconds_text
from lichen.report import bars, figures
from lichen.report.bars import Span
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, figure, note, section, table, tag

TITLE = "Side by side"
QUALITY = ("", "metric", "95 % interval", "to the first", "interval", "verdict")
COST = ("", "value", "parameters", "size", "latency", "took")
SHORT = {"no measurable difference": "not measurable"}
KINDS = {"better": "good", "worse": "bad"}


def beside(found: Findings) -> Markup:
    """A row per value and the paired differences to the first."""
    study = found.beside
    if not study:
        return Markup("")
    metric, first = figures.name(study["metric"]), study["points"][0]["words"]
    spans = [Span(name=point["words"], value=point["gain"], low=point["gain_low"], high=point["gain_high"],
                  kind=KINDS.get(point["verdict"], "plain")) for point in study["points"][1:]]  # fmt: skip
    said = (
        f"{metric.capitalize()} on {figures.whole(study['num_rows'])} {study['unit']} of validation;"
        f" differences to {first} are paired row by row, at {study['level']:.0%}. Took: the steps that not"
        " all of them share."
    )
    drawn = bars.intervals(f"{metric} against {first}", spans, x_name=f"better than {first}")
    mine, points = found.value.digest, study["points"]
    return section(
        "beside", TITLE,
        table(QUALITY, [[_name(point, mine), *_quality(point)] for point in points], left=(0, 5)),
        figure(f"{metric.capitalize()} against {first}", drawn),
        table(COST, [[_name(point, mine), *_cost(point)] for point in points], left=(0, 1)), note(said),
    )  # fmt: skip


def _name(point: Mapping[str, Any], mine: str) -> Markup:
    return tag("b" if point["digest"] == mine else "span", None, point["words"])


def _quality(point: Mapping[str, Any]) -> list[Inside]:
    return [
        figures.metric(point["value"]),
        figures.interval(point["low"], point["high"]),
        figures.signed(point["gain"]),
        figures.interval(point["gain_low"], point["gain_high"], is_signed=True),
        SHORT.get(point["verdict"], point["verdict"]) or figures.NONE,
    ]


def _cost(point: Mapping[str, Any]) -> list[Inside]:
    return [
        tag("span", {"class": "mono"}, figures.short(point["digest"])),
        figures.count(point["num_params"]),
        figures.size(point["size_bytes"]),
        f"{point['latency_ms']:.3g} ms{' ~' if point['is_busy'] else ''}",
        seconds_text(point["seconds"]),
    ]
