"""generation: what a generator learnt to make, how good its pictures are, and what they were worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lichen.report import bars, figures
from lichen.report.bars import Span
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, figure, grid, join, note, section, table, tag

TITLE = "What was generated"
COLUMNS = 30
"""Of a table that are shown, those that are least like real ones."""
PICTURE = "data:image/png;base64,"
SHEETS = {
    "samples": "Samples, a column for each class",
    "interpolation": "From one code to another, a line for each class",
    "nearest": "Made pictures, and below each the nearest train row",
}


def generation(found: Findings) -> Markup:
    """Sheets over time, figures against real rows, and the judge's verdict on synthetic rows."""
    times = [pair for call in found.calls for pair in found.samples.get(call.id, ())]
    parts = [
        *([_over_time(times)] if times else []),
        *(_fidelity(found.fidelity) if found.fidelity else []),
        *(_likeness(found.likeness) if found.likeness else []),
        *(_worth(found.worth) if found.worth else []),
    ]
    return section("generation", TITLE, *parts) if parts else Markup("")


def _over_time(times: Sequence[tuple[float, str]]) -> Markup:
    shown = [_sheet(picture, f"epoch {epoch:g}") for epoch, picture in times]
    return join([tag("h3", None, "Over time, by the same codes"), grid(*shown)])


def _sheet(picture: str, said: str) -> Markup:
    if not picture.startswith(PICTURE):
        return note(f"{said}: there is no picture")
    return figure(said, tag("img", {"src": picture, "alt": said, "class": "sheet"}))


def _fidelity(study: Mapping[str, Any]) -> list[Markup]:
    known = {
        f"{figures.name(name)}, by Inception": one for name, one in (study.get("inception") or {}).items()
    }
    named = {**study["figures"], **known, "class agreement": study["agreement"], "copying": study["copying"]}
    rows = [(tag("b", None, figures.name(name)), figures.metric(one["value"]),
             figures.interval(one["low"], one["high"])) for name, one in named.items()]  # fmt: skip
    copies = "Train rows are copied." if study["copies"] else "There is no sign of copied train rows."
    said = (
        f"{figures.whole(study['num_rows'])} made pictures beside as many real ones of validation, in the "
        f"features of classifier {figures.short(study['judge'])}, whose accuracy is "
        f"{figures.metric(study['accuracy'])}. By KID noise is {figures.ratio(study['times_noise'])} as far. "
        f"{copies}"
    )
    sheets = [
        _sheet(study["pictures"][name], words) for name, words in SHEETS.items() if name in study["pictures"]
    ]
    return [
        tag("h3", None, "How good the pictures are"),
        table(("figure", "value", "95 % interval"), rows, left=(0,)),
        note(said),
        grid(*sheets),
    ]


def _likeness(study: Mapping[str, Any]) -> list[Markup]:
    rows = [(tag("b", None, figures.name(name)), figures.metric(one["value"]),
             figures.interval(one["low"], one["high"]), figures.metric(study["chance"][name]["value"]))
            for name, one in study["figures"].items()]  # fmt: skip
    metric, lost = figures.name(study["metric"]), study["lost"]
    copies = "Train rows are copied." if study["copies"] else "There is no sign of copied train rows."
    said = (
        f"{figures.whole(study['num_rows'])} made rows beside as many real ones of validation; 0 is no "
        "difference, and the last column is what chance alone does to train rows. A classifier that "
        f"learns from made rows alone has {metric} {figures.metric(study['from_made'])} on validation, "
        f"from real ones {figures.metric(study['from_real'])}: it loses {figures.signed(lost['value'])} "
        f"{figures.interval(lost['low'], lost['high'], is_signed=True)}. {copies}"
    )
    return [
        tag("h3", None, "How like real rows the made ones are"),
        table(("distance", "value", "95 % interval", "of train rows"), rows, left=(0,)),
        note(said),
        _pairs(study),
    ]


def _pairs(study: Mapping[str, Any]) -> Markup:
    """Columns, those that are least like real ones first, and beside them some made rows with real ones."""
    apart = sorted(study["columns"].items(), key=lambda one: -one[1])[:COLUMNS]
    head = ["column", "distance"]
    for pair in study["nearest"]:
        head += [f"made {pair['label']}", "nearest"]
    lines = [
        (name, figures.metric(distance),
         *(figures.cell(pair[side].get(name)) for pair in study["nearest"] for side in ("made", "real")))
        for name, distance in apart
    ]  # fmt: skip
    said = "The distance of each column, and made rows beside the nearest train row"
    return figure(said, table(head, lines, left=(0,)))


def _worth(study: Mapping[str, Any]) -> list[Markup]:
    metric = figures.name(study["metric"])
    rows: list[Sequence[Inside]] = [
        (tag("b" if arm["name"] == study["best"] else "span", None, arm["name"]),
         figures.whole(arm["num_rows"]), arm["epochs"], figures.metric(arm["value"]))
        for arm in study["arms"]
    ]  # fmt: skip
    kind = {"accepted": "good", "harms": "bad"}.get(study["verdict"], "plain")
    span = Span(name=study["best"], value=study["worth"], low=study["low"], high=study["high"], kind=kind)
    drawn = bars.intervals(
        f"worth of synthetic rows in {metric}", [span], x_name=f"{metric} over {study['rival']}"
    )
    used = "are used" if study["verdict"] == "accepted" else "are not used"
    said = (
        f"{study['verdict'].capitalize()}: against “{study['rival']}”, the hardest to beat without them, on "
        f"{figures.whole(study['num_rows'])} real validation rows over {study['num_seeds']} seeds. The "
        f"{figures.whole(study['num_synthetic'])} synthetic rows {used}."
    )
    return [
        tag("h3", None, "What synthetic rows were worth"),
        figure(f"Worth in {metric}", drawn),
        table(("trained on", "rows", "epochs", metric), rows, left=(0,)),
        note(said),
    ]
