"""life: the table of what every step left behind, and which of its models nothing else beats."""

from __future__ import annotations

from collections.abc import Callable

from lichen.engine.compression.frontier import front
from lichen.report import charts, figures
from lichen.report.charts import Point
from lichen.report.findings import Findings, Stage
from lichen.report.markup import Inside, Markup, Spread, figure, grid, join, note, section, table, tag
from lichen.report.verdict import changes, is_pretrained, pretraining

HEAD = ("step", "value", "metric", "95 % interval", "parameters", "size", "latency", "rows/s", "took")


def life(found: Findings) -> Markup:
    """One row per output of every step; what was timed on a busy machine is marked."""
    rows = [_row(stage) for stage in found.stages]
    is_busy = any(stage.row.is_busy for stage in found.stages)
    busy = " ~ timed while the machine was busy: read it as an upper bound of latency." if is_busy else ""
    measured = next((stage.row for stage in found.stages if stage.row.metric), None)
    on = (
        f"{figures.name(measured.metric or '')} on {figures.whole(measured.num_rows or 0)} "
        f"{measured.split} {measured.unit}."
        if measured
        else "Nothing was scored."
    )
    return section(
        "life",
        "The life",
        table(HEAD, rows, left=(0, 1), kind="life"),
        note(f"Metric: {on} Latency is of one row, rows/s at a good batch size.{busy}"),
        _changes(found),
        note(pretraining(found)) if is_pretrained(found) else Markup(""),
    )


def _row(stage: Stage) -> list[Inside | Spread]:
    row = stage.row
    head: list[Inside | Spread] = [
        tag("b", None, row.step),
        tag("span", {"class": "mono"}, figures.short(row.digest)),
    ]
    if not row.num_params:
        return [*head, Spread(row.facts, 6), figures.seconds(row.seconds)]
    return [
        *head,
        figures.metric(row.value),
        figures.interval(row.low, row.high),
        figures.count(row.num_params),
        figures.size(row.size_bytes),
        figures.latency(row),
        figures.throughput(row),
        figures.seconds(row.seconds),
    ]


def _changes(found: Findings) -> Markup:
    """Steps that took one model and gave another, compared on the same rows."""
    made = changes(found)
    if not made:
        return Markup("")
    rows = [
        (
            tag("b", None, change.step),
            figures.signed(change.gain),
            figures.interval(change.low, change.high, is_signed=True),
            change.verdict,
        )
        for change in made
    ]
    head = ("step", "change for the better", "95 % interval", "verdict")
    return join(
        [
            tag("h3", None, "What each step did to the model it took"),
            table(head, rows, left=(0, 3)),
            note(f"Answers before and after, paired over {figures.whole(made[0].num_rows)} validation rows."),
        ]
    )


def pareto(found: Findings) -> Markup:
    """The metric against latency and against bytes."""
    pictures = [
        _against(found, what, unit, cost)
        for what, unit, cost in (
            ("latency", "latency of one row, ms", lambda stage: stage.row.latency_ms),
            ("size", "size, kB", lambda stage: stage.row.size_bytes and stage.row.size_bytes / 1000),
        )
    ]
    drawn = [picture for picture in pictures if picture]
    if not drawn:
        return section("pareto", "What it costs", note("No model of this life has both a score and a cost."))
    return section(
        "pareto",
        "What it costs",
        grid(*drawn),
        note("Filled: nothing in this life is both better and cheaper."),
    )


def _against(found: Findings, what: str, unit: str, cost: Callable[[Stage], float | None]) -> Markup:
    shown = [(stage, spent) for stage in found.rivals if stage.scores is not None and (spent := cost(stage))]
    if not shown:
        return Markup("")
    headline = figures.name(shown[0][0].scores.headline)  # type: ignore[union-attr]
    is_up = bool(shown[0][0].scores.manifest["higher_is_better"])  # type: ignore[union-attr]
    costs = [(spent, (stage.row.value or 0.0) * (-1 if is_up else 1)) for stage, spent in shown]
    points = [
        Point(
            name=stage.name,
            x=spent,
            y=stage.row.value or 0.0,
            low=(stage.row.value or 0.0) if stage.row.low is None else stage.row.low,
            high=(stage.row.value or 0.0) if stage.row.high is None else stage.row.high,
            is_front=is_on_front,
        )
        for (stage, spent), is_on_front in zip(shown, front(costs), strict=True)
    ]
    return figure(
        f"{headline.capitalize()} against {what}",
        charts.scatter(f"{headline} against {what} of {len(points)} models", points, x_name=unit),
    )
