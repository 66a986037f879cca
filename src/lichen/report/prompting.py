"""prompting: what a language model was asked, what it was shown, and how much their order decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.report import bars, figures
from lichen.report.bars import Span
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, figure, note, section, table, tag

TITLE = "What it was asked"
SHOWN = 20
"""Demonstrations that are listed."""


def prompting(found: Findings) -> Markup:
    """The template, the words of the labels, the demonstrations and, where it was studied, their order."""
    about = found.value.assets.get("prompt")
    if not isinstance(about, Mapping):
        return Markup("")
    parts = [_template(about, found.labels), *_shown(about.get("demonstrations"))]
    if found.orders:
        parts += _orders(found.orders)
    return section("prompt", TITLE, *parts)


def _template(about: Mapping[str, Any], labels: list[str]) -> Markup:
    named = dict(zip(labels, about.get("words", ()), strict=False))
    rows: list[tuple[Inside, Inside]] = [
        ("template", tag("code", None, str(about.get("template")))),
        ("instruction", str(about.get("instruction") or figures.NONE)),
    ]
    rows += [(f"words of {label}", str(word)) for label, word in named.items()]
    return table(("", ""), rows, left=(0, 1))


def _shown(demonstrations: Any) -> list[Markup]:
    if isinstance(demonstrations, str):
        return [note(f"Each row is shown {demonstrations} train rows.")]
    if not demonstrations:
        return [note("No train row was shown with its label.")]
    rows = [(one["text"], one["label"]) for one in demonstrations[:SHOWN]]
    said = f"{len(demonstrations)} train rows are shown with their labels, in this order."
    return [note(said), table(("text", "label"), rows, left=(0, 1))]


def _orders(study: Mapping[str, Any]) -> list[Markup]:
    metric = figures.name(study["metric"])
    kind = {"helps": "good", "harms": "bad"}.get(study["verdict"], "plain")
    spans = [
        Span(name=f"order {one['order']}", value=one["value"], low=one["low"], high=one["high"])
        for one in study["orders"]
    ]
    spans += [
        Span(name="mean", value=study["mean"], low=study["low"], high=study["high"]),
        Span(name="worth", value=study["worth"], low=study["worth_low"], high=study["worth_high"], kind=kind),
    ]
    said = (
        f"The same {study['shots']} demonstrations in {len(study['orders'])} orders, on"
        f" {figures.whole(study['num_rows'])} rows of validation: the spread of {metric} is"
        f" {figures.metric(study['spread'])}. Over no demonstrations they are worth"
        f" {figures.signed(study['worth'])}"
        f" {figures.interval(study['worth_low'], study['worth_high'], is_signed=True)}: {study['verdict']}."
    )
    drawn = bars.intervals(f"{metric} by order of the demonstrations", spans, x_name=metric)
    return [tag("h3", None, "In other orders"), figure(f"{metric} by order", drawn), note(said)]
