"""curves: how training went, epoch by epoch, and what each step was worth in the ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lichen.report import bars, charts, figures
from lichen.report.bars import Span
from lichen.report.charts import Series
from lichen.report.findings import Findings
from lichen.report.markup import Markup, figure, grid, note, section, table, tag

OUTSIDE = ("at", "kind", "step", "key", "epoch", "steps", "run")
KNOWN = {
    "generator_loss": "generator's loss",
    "discriminator_loss": "discriminator's loss",
    "discriminator_accuracy": "accuracy of the discriminator",
    "feature_rank": "rank of what is made",
    "loss": "train loss", "log_loss": "validation log loss", "rate": "learning rate",
    "training_return": "return of training episodes", "episode_length": "steps of training episodes",
    "judged_return": "return of greedy episodes", "epsilon": "share of random actions",
    "temperature": "worth of indecision",
}  # fmt: skip
"""What figures are called that are not the task's."""
POINTS_UP_TO = 300
"""Epochs drawn of one training; longer ones are thinned evenly."""
KINDS = {"helps": "good", "harms": "bad", "no measurable effect": "plain"}


def curves(found: Findings) -> Markup:
    """Losses together, the rate and every other figure by itself, per step that trained."""
    trained = [
        (" ".join([call.step, *([phase.replace("_", " ")] if phase else [])]), epochs)
        for call in found.calls
        for phase, epochs in {**found.phases[call.id], "": found.history[call.id]}.items() if epochs
    ]  # fmt: skip
    if not trained:
        return section("curves", "How it learnt", note("No step of this life recorded its epochs."))
    parts = []
    for name, epochs in trained:
        parts += [tag("h3", None, name)] if len(trained) > 1 else []
        is_line = len(epochs) > 1
        parts.append(grid(*_pictures(name, _thinned(epochs))) if is_line else note(_single(epochs[0])))
    return section("curves", "How it learnt", *parts)


def _thinned(epochs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    stride = -(-len(epochs) // POINTS_UP_TO)
    return [*epochs[:-1:stride], epochs[-1]]


def _single(epoch: Mapping[str, Any]) -> str:
    """One epoch is no curve."""
    return (
        "One epoch: " + ", ".join(f"{_said(name)} {epoch[name]:.4g}" for name in _figures_of([epoch])) + "."
    )


def _figures_of(epochs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every number of any epoch: an agent's has no return where no episode ended."""
    return [
        name
        for name, value in {name: value for epoch in epochs for name, value in epoch.items()}.items()
        if name not in OUTSIDE and isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _pictures(step: str, epochs: Sequence[Mapping[str, Any]]) -> list[Markup]:
    names = _figures_of(epochs)
    losses = [name for name in names if "loss" in name]
    others = sorted((name for name in names if name not in losses), key=lambda name: name == "rate")
    groups = ([losses] if losses else []) + [[name] for name in others]
    return [_picture(step, epochs, group) for group in groups]


def _picture(step: str, epochs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    across, unit = ("steps", "steps of the environment") if "steps" in epochs[-1] else ("epoch", "epoch")
    series = [
        Series(
            name=_said(name),
            points=tuple((epoch[across], float(epoch[name])) for epoch in epochs if name in epoch),
        )
        for name in names
    ]
    is_loss = "loss" in names[0]
    what = "Loss" if is_loss else _said(names[0]).capitalize()
    drawn = charts.lines(f"{what} of {step} by {unit}", series, x_name=unit, may_be_log=is_loss)
    return figure(what, drawn)


def _said(name: str) -> str:
    return KNOWN.get(name, f"validation {figures.name(name)}")


def ablation(found: Findings) -> Markup:
    """The worth of each removable step with its interval."""
    title, study = "What each step was worth", found.ablation
    if not study:
        return Markup("")
    metric = figures.name(study["metric"])
    kept = f" Not removable: {', '.join(study['kept'])}." if study["kept"] else ""
    said = (
        f"{metric.capitalize()} of the whole life {figures.metric(study['whole'])} on "
        f"{figures.whole(study['num_rows'])} validation rows, over {study['num_seeds']} seeds.{kept}"
    )
    return section("ablation", title, _worths(study, metric), _worth_table(study), note(said))


def _worths(study: Mapping[str, Any], metric: str) -> Markup:
    spans = [
        Span(
            name=row["step"], value=row["worth"], low=row["low"], high=row["high"], kind=KINDS[row["verdict"]]
        )
        for row in study["rows"]
    ]
    drawn = bars.intervals(
        f"worth of {len(spans)} steps in {metric}", spans, x_name=f"{metric} with the step less without it"
    )
    return figure(f"Worth in {metric}", drawn)


def _worth_table(study: Mapping[str, Any]) -> Markup:
    level = f"{100 * study['level']:g} % interval"
    head = ("step", "worth", level, "verdict", "parameters without", "size without")
    rows = [
        (
            tag("b", None, row["step"]),
            figures.signed(row["worth"]),
            figures.interval(row["low"], row["high"], is_signed=True),
            row["verdict"],
            _without(row.get("parameters"), figures.count),
            _without(row.get("size_bytes"), figures.size),
        )
        for row in study["rows"]
    ]
    return table(head, rows, left=(0, 3))


def _without(pair: Sequence[float] | None, write: Any) -> str:
    return figures.NONE if not pair or pair[0] == pair[1] else f"{write(pair[1])} (with {write(pair[0])})"
