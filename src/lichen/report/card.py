"""card: the model card of a value as Markdown, with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lichen.core.dataset import SPLITS
from lichen.core.program import Program
from lichen.core.scores import Scores
from lichen.core.session import Session
from lichen.core.value import Value
from lichen.report import figures, findings, origin, page, verdict
from lichen.report.findings import Findings

PIPELINES = {
    "image_classification": "image-classification",
    "text_classification": "text-classification",
    "translation": "translation",
}
"""The hub's names of tasks."""
MARKED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", **{letter: f"\\{letter}" for letter in "\\`*_|[]#"}}
"""Characters that Markdown or HTML would read as markup, and how they are written."""


def write(value: Value, path: str | Path, session: Session, *, license: str | None = None) -> Path:
    """Writes the model card of a Model or Program.

    Args:
        license: its identifier on the hub, such as `apache-2.0`; None: unknown.
    """
    return page.put(markdown(findings.gather(value, session), license), path)


def markdown(found: Findings, license: str | None = None) -> str:
    """The whole card."""
    parts = [
        _front(found, license),
        f"# {plain(verdict.title(found))}",
        *_what(found),
        *_made(found),
        *_data(found),
        *_quality(found),
        *_cost(found),
        *_limits(found),
        *_again(found),
    ]
    return "\n\n".join(parts) + "\n"


def plain(said: Any) -> str:
    """Text that stays text in Markdown."""
    text = " ".join(str(said).split())
    return "".join(MARKED.get(letter, letter) for letter in text)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _front(found: Findings, license: str | None) -> str:
    scores = [one for one in (found.test, found.last.scores) if one is not None]
    data = verdict.source(found)
    value = found.value
    tags = ["lichen", *([value.format, value.precision] if isinstance(value, Program) else [value.net])]
    facts: dict[str, Any] = {"library_name": "lichen", "license": license or "unknown", "tags": tags}
    if data:
        facts["datasets"] = [data]
    if value.task in PIPELINES:
        facts["pipeline_tag"] = PIPELINES[str(value.task)]
    if scores:
        facts["metrics"] = list(scores[0].metrics)
        facts["model-index"] = [
            {"name": verdict.name(found), "results": [_result(found, one, data) for one in scores]}
        ]
    return "---\n" + yaml.safe_dump(facts, sort_keys=False, allow_unicode=True).rstrip() + "\n---"


def _result(found: Findings, scores: Scores, data: str | None) -> dict[str, Any]:
    return {
        "task": {"type": PIPELINES.get(str(found.value.task), str(found.value.task))},
        "dataset": {"name": data or "unknown", "type": data or "unknown", "split": scores.split},
        "metrics": [
            {"type": name, "value": round(entry["value"], 6)} for name, entry in scores.metrics.items()
        ],
    }


def _what(found: Findings) -> list[str]:
    facts = "\n".join(
        f"- {plain(key)}: {plain(text)}"
        for key, text in {"digest": found.value.digest, **found.value.facts()}.items()
    )
    labels = found.labels
    known = (
        f"\n- answers with one of {len(labels)} labels: {', '.join(plain(label) for label in labels[:20])}"
        if labels
        else ""
    )
    more = ", ..." if len(labels) > 20 else ""
    return [
        "## What it is",
        plain(verdict.sentence(found, f"This {verdict.title(found)}")),
        facts + known + more,
    ]


def _made(found: Findings) -> list[str]:
    rows = []
    for call in found.calls:
        options, decided = (
            "; ".join(f"{name}={figures.plain(given)}" for name, given in pairs.items() if given is not None)
            for pairs in (call.options, call.decisions)
        )
        rows.append((call.step, options, decided or figures.NONE, figures.seconds(call.seconds)))
    return ["## How it was made", _table(("step", "options", "decided by measuring", "took"), rows)]


def _data(found: Findings) -> list[str]:
    if found.environment is not None:
        return ["## Environment", _table(("", ""), list(found.environment.facts().items()))]
    if found.data is None:
        return ["## Data", "The dataset is no longer in the store."]
    rows = [
        (name, found.data.num_rows(name), found.data.splits[name]["digest"][:16])
        for name in SPLITS
        if name in found.data.splits
    ]
    return ["## Data", _table(("split", "rows", "digest"), rows), plain(origin.duplicates(found))]


def _quality(found: Findings) -> list[str]:
    rows = [
        (
            figures.name(name),
            scores.split,
            scores.num_rows,
            figures.metric(entry["value"]),
            figures.interval(entry["low"], entry["high"]),
        )
        for scores in (found.test, found.last.scores)
        if scores
        for name, entry in scores.metrics.items()
    ]
    if not rows:
        return ["## Quality", "Not measured."]
    opened = f"The test split was opened {figures.times(found.times_opened)} along this lineage."
    weighed = [plain(verdict.pretraining(found))] if verdict.is_pretrained(found) else []
    head = ("metric", "split", "rows", "value", "95 % interval")
    return ["## Quality", _table(head, rows), opened, *weighed]


def _cost(found: Findings) -> list[str]:
    rows = [
        (
            stage.row.step,
            figures.count(stage.row.num_params),
            figures.size(stage.row.size_bytes),
            figures.latency(stage.row),
            figures.throughput(stage.row),
        )
        for stage in found.models
    ]
    busy = " A tilde marks a busy machine." if any(stage.row.is_busy for stage in found.models) else ""
    return [
        "## Cost",
        _table(("after", "parameters", "size", "latency of one row", "rows/s"), rows),
        plain(f"On {origin.described(found.made.call.environment)}.{busy}"),
    ]


def limits(found: Findings) -> list[str]:
    """What nobody measured, from what is missing."""
    said = [
        "Quality is known on rows like those of its data only; no shifted or adversarial rows were tried.",
        "Cost is known on the machine named above only; peak memory and energy were not measured.",
    ]
    if found.test is None:
        said.append("It was not measured on test: the validation figures were looked at while it was made.")
    elif found.times_opened > 1:
        said.append(
            f"Test was opened {figures.times(found.times_opened)}, so its figure is somewhat optimistic."
        )
    if found.ablation is None:
        said.append("What each step was worth was not studied.")
    if any(stage.row.is_busy for stage in found.models):
        said.append("The machine was busy while cost was measured.")
    return said


def _limits(found: Findings) -> list[str]:
    return ["## Limits", "\n".join(f"- {plain(one)}" for one in limits(found))]


def _again(found: Findings) -> list[str]:
    return [
        "## Make it again",
        f"With the store: `lichen reproduce {found.value.id}`. Anywhere: save this as life.yaml and type "
        "`lichen run life.yaml`.",
        _fenced(origin.recipe_of(found), "yaml"),
    ]


def _fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any within."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
