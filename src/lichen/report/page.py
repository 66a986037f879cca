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
    samples,
    search,
    style,
    verdict,
)
from lichen.report.findings import Findings
from lichen.report.markup import Markup, join, tag

PARTS = (
    verdict.command,
    life.life,
    life.pareto,
    frontier.frontier,
    beside.beside,
    curves.curves,
    curves.ablation,
    search.search,
    film.film,
    generation.generation,
    prompting.prompting,
    quality.quality,
    samples.samples,
    attribution.attribution,
    samples.augmentation,
    graph.lineage,
    origin.written,
    origin.openings,
    origin.environment,
    origin.data,
)
"""Sections after the verdict, in the order of the page."""
LINKS = (
    ("life", "life"),
    ("pareto", "cost"),
    ("frontier", "frontier"),
    ("beside", "beside"),
    ("curves", "training"),
    ("ablation", "ablation"),
    ("search", "search"),
    ("episode", "episode"),
    ("generation", "generation"),
    ("prompt", "prompt"),
    ("quality", "quality"),
    ("samples", "samples"),
    ("why", "why"),
    ("augmentation", "augmentation"),
    ("lineage", "lineage"),
    ("recipe", "recipe"),
    ("openings", "test"),
    ("environment", "environment"),
    ("data", "data"),
)
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
    links = tag("nav", None, *(tag("a", {"href": f"#{name}"}, said) for name, said in LINKS))
    foot = tag("footer", None, f"lichen report of {found.value.kind} {found.value.digest}")
    body = join([verdict.verdict(found), links, *(part(found) for part in PARTS), foot], "\n")
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
