"""translations: what a text was to become beside what it became: some rows, the worst and the best.

Shapes: N rows of the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lichen.core.scores import Scores
from lichen.data import draws
from lichen.data.bitext import Bitext
from lichen.engine.scores import bleu
from lichen.report import figures
from lichen.report.markup import Markup, join, table, tag

NUM_SHOWN = 10
SEED = 0
"""Of the rows that are shown."""


def shown(scores: Scores, rows: Bitext) -> list[Markup]:
    """Source, reference and translation of some rows, with what each adds to the headline."""
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    return [
        _group(title, chosen, answers, rows, scores.headline) for title, chosen in groups(answers["outcome"])
    ]


def groups(share_N: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Rows to show: some by the hash of their place, the lowest shares, the highest."""
    hashes_N = draws.hashes(np.arange(len(share_N)), seed=SEED, epoch=0)
    order = np.argsort(share_N, kind="stable")
    return [
        ("At random", np.argsort(hashes_N, kind="stable")[:NUM_SHOWN]),
        ("Worst: the lowest shares", order[:NUM_SHOWN]),
        ("Best: the highest shares", order[::-1][:NUM_SHOWN]),
    ]


def _group(
    title: str, chosen: np.ndarray, answers: Mapping[str, np.ndarray], rows: Bitext, headline: str
) -> Markup:
    lines: list[Sequence[str]] = [
        (source, wanted, said, figures.metric(float(answers["outcome"][row])))
        for (source, wanted), said, row in zip(
            rows.pairs(chosen), bleu.unpacked(answers["answer"][chosen]), chosen.tolist(), strict=True
        )
    ]
    head = ("source", "reference", "ours", f"share of {figures.name(headline)}")
    return join([tag("h3", None, title), table(head, lines, left=(0, 1, 2))])
