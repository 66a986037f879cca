"""questions: the studies that nobody has made of this life yet, each with the command that makes it."""

from __future__ import annotations

import itertools

from lichen.core.model import Model
from lichen.report.findings import Findings, Stage
from lichen.report.markup import Markup, section, table, tag


def questions(found: Findings) -> Markup:
    """A line per study that is not on the page; nothing where all were made."""
    mine, assets = found.value.id, found.value.assets
    is_table, whole = "encoder" in assets, _whole(found).row.digest[:10]
    asked = [
        ("how small and fast can it be?", f"lichen compress {whole}", found.compression),
        ("what was each step worth?", f"lichen ablate {mine}", found.ablation),
        ("is it better than another?", f"lichen beside {mine} OTHER", found.beside),
        ("which way to choose within its life is best?", f"lichen search {mine}", found.search),
    ]
    if "num_codes" in assets:
        study, made = ("likeness", found.likeness) if is_table else ("fidelity", found.fidelity)
        asked.append(("how like real rows is what it makes?", f"lichen {study} {mine}", made))
    rows = [(said, tag("code", None, command)) for said, command, study in asked if not study]
    return section("questions", "Not studied yet", table(("", ""), rows, left=(0, 1))) if rows else Markup("")


def _whole(found: Findings) -> Stage:
    """The model that the life came to before it was compressed; a tokenizer is none."""
    judged = [stage for stage in found.models if stage.scores is not None and isinstance(stage.value, Model)]
    before = list(itertools.takewhile(lambda stage: not stage.row.step.startswith("compress."), judged))
    return (before or judged or found.models)[-1]
