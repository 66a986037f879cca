"""search: which way to choose within a life found the best: learnt, by chance, greedily or by TPE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.report import bars, figures
from lichen.report.bars import Span
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, figure, note, section, table, tag

TITLE = "Which way to choose"
HEAD = ("way", "value", "on the rows that chose", "asked", "choice of the first seed")


def search(found: Findings) -> Markup:
    """Every way with what it found, the first one beside the others, and who won."""
    study = found.search
    if not study:
        return Markup("")
    ways = sorted(study["found"], key=lambda one: -one["value"])
    listed = table(HEAD, [_row(one, study) for one in ways], left=(0, 4))
    return section("search", TITLE, _lead(study), listed, note(_said(study)))


def _lead(study: Mapping[str, Any]) -> Markup:
    """How much better the first way did than each other one."""
    metric = figures.name(study["metric"])
    spans = [
        Span(name=pair["other"], value=pair["better"], low=pair["low"], high=pair["high"],
             kind="good" if pair["low"] > 0 else "plain")
        for pair in study["pairs"] if pair["one"] == study["first"]
    ]  # fmt: skip
    drawn = bars.intervals(f"lead of {study['first']} in {metric}", spans, x_name=f"{metric} more than these")
    return figure(f"{study['first']} beside the others", drawn)


def _row(one: Mapping[str, Any], study: Mapping[str, Any]) -> list[Inside]:
    name = f"rl, by decide.{study['algorithm']}" if one["way"] == "rl" else one["way"]
    return [tag("b" if one["way"] == study["first"] else "span", None, name), figures.metric(one["value"]),
            figures.metric(one["worth"]), figures.whole(one["asked"]), str(one["choices"][0])]  # fmt: skip


def _said(study: Mapping[str, Any]) -> str:
    nobody = f"Nobody won: {study['first']} came first, but not measurably before every other way."
    return (
        f"{figures.name(study['metric']).capitalize()} of {study['what']}, on"
        f" {figures.whole(study['num_rows'])} rows that chose nothing, over {study['num_seeds']} seeds;"
        f" intervals of {100 * study['level']:g} %. "
        + (f"{study['winner']} won." if study["winner"] else nobody)
    )
