"""page: the report of a value as one HTML file: no network, no script, equal bytes for equal findings."""

from __future__ import annotations

import os
from pathlib import Path

from lichen.core.session import Session
from lichen.core.value import Value
from lichen.report import (
    attribution,
    beside,
    curves,
    film,
    findings,
    frontier,
    generation,
    graph,
    life,
    origin,
    prompting,
    quality,
    questions,
    samples,
    search,
    style,
    verdict,
)
from lichen.report.findings import Findings
from lichen.report.markup import Markup, anchor, join, tag

PARTS = {
    "": verdict.command,
    "life": life.life,
    "cost": life.pareto,
    "frontier": frontier.frontier,
    "beside": beside.beside,
    "training": curves.curves,
    "ablation": curves.ablation,
    "search": search.search,
    "episode": film.film,
    "generation": generation.generation,
    "prompt": prompting.prompting,
    "quality": quality.quality,
    "samples": samples.samples,
    "why": attribution.attribution,
    "augmentation": samples.augmentation,
    "not studied": questions.questions,
    "lineage": graph.lineage,
    "recipe": origin.written,
    "test": origin.openings,
    "environment": origin.environment,
    "data": origin.data,
}
"""The sections after the verdict by what links call them; one without anything to say is empty."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded and nothing runs, whatever the data held."""


def html(found: Findings) -> str:
    """The whole page."""
    head = tag(
        "head",
        None,
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("title", None, f"{verdict.title(found)} · lichen"),
        tag("style", None, Markup(style.sheet())),
    )
    parts = {said: made for said, part in PARTS.items() if (made := part(found))}
    links = tag("nav", None, *(tag("a", {"href": f"#{anchor(made)}"}, said)
                               for said, made in parts.items() if said))  # fmt: skip
    foot = tag("footer", None, f"lichen report of {found.value.kind} {found.value.digest}")
    body = join([verdict.verdict(found), links, *parts.values(), foot], "\n")
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def write(value: Value, path: str | Path, session: Session) -> Path:
    """Writes the report of a Model or Program from what the store of the session recorded.

    Args:
        path: of the file; its folder is made when missing, the file is replaced at once.

    Raises:
        UsageError: the value was not made by recorded steps.
    """
    return put(html(findings.gather(value, session)), path)


def put(text: str, path: str | Path) -> Path:
    """Replaces a text file at once, so that no reader meets half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
    return path
