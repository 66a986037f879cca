"""quality: where the answers on validation are right and wrong: classes, confusions, calibration.

Shapes: N rows, K classes, G bins of confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lichen.core.scores import Scores
from lichen.engine.scores import metrics
from lichen.report import bars, charts, figures
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, figure, join, note, section, table, tag

HEAT_UP_TO = 40
"""Classes that a heat map shows; more are listed by their confusions."""
SHOWN = 20
"""Rows of a list of many."""


def quality(found: Findings) -> Markup:
    """Every metric, then confusions, classes and calibration as far as the answers allow."""
    scores = found.last.scores
    if scores is None:
        return section(
            "quality", "Where it is right and wrong", note("The value was not scored on validation.")
        )
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    parts = [_metrics(scores, found.test)]
    names = found.labels
    if {"truth", "answer"} <= answers.keys() and _are_classes(
        answers["truth"], answers["answer"], len(names)
    ):
        counts_KK = confusion(answers["truth"], answers["answer"], len(names))
        parts += [
            tag(
                "div", {"class": "grid"}, join([_confusion(counts_KK, names), _calibration(scores, answers)])
            ),
            _classes(counts_KK.diagonal(), counts_KK.sum(1), counts_KK.sum(0), names),
        ]
    elif {"truth", "answer"} <= answers.keys() and _are_marks(
        answers["truth"], answers["answer"], len(names)
    ):
        hits_K = (answers["truth"] & answers["answer"]).sum(0, dtype=np.int64)
        truth_K, said_K = (answers[what].sum(0, dtype=np.int64) for what in ("truth", "answer"))
        parts.append(_classes(hits_K, truth_K, said_K, names))
    return section("quality", "Where it is right and wrong", *parts)


def _metrics(scores: Scores, test: Scores | None) -> Markup:
    def cells(entry: dict[str, float] | None) -> list[Inside]:
        return (
            [figures.metric(entry["value"]), figures.interval(entry["low"], entry["high"])]
            if entry
            else [figures.NONE] * 2
        )

    rows = [
        [
            figures.name(name),
            *cells(dict(entry)),
            *(cells(dict(test.metrics[name]) if name in test.metrics else None) if test else []),
        ]
        for name, entry in scores.metrics.items()
    ]
    head = ["metric", f"validation ({figures.whole(scores.num_rows)} {scores.unit})", "95 % interval"]
    return table(
        head + ([f"test ({figures.whole(test.num_rows)} {test.unit})", "95 % interval"] if test else []), rows
    )


def _are_classes(truth_N: np.ndarray, answer_N: np.ndarray, num_classes: int) -> bool:
    return (
        num_classes > 1
        and truth_N.ndim == 1
        and truth_N.dtype.kind in "iu"
        and answer_N.dtype.kind in "iu"
        and truth_N.shape == answer_N.shape
        and int(max(truth_N.max(), answer_N.max())) < num_classes
    )


def _are_marks(truth_NK: np.ndarray, answer_NK: np.ndarray, num_labels: int) -> bool:
    """Whether these are 0 and 1 for each label, of rows that may have several."""
    return truth_NK.dtype == answer_NK.dtype == np.uint8 and (
        truth_NK.shape == answer_NK.shape == (len(truth_NK), num_labels)
    )


def confusion(truth_N: np.ndarray, answer_N: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 (K, K): rows of each truth (down) and answer (across)."""
    pairs_N = truth_N.astype(np.int64) * num_classes + answer_N
    return np.bincount(pairs_N, minlength=num_classes**2).reshape(num_classes, num_classes)


def _confusion(counts_KK: np.ndarray, names: Sequence[str]) -> Markup:
    said = f"Confusions on {figures.whole(int(counts_KK.sum()))} validation rows"
    if len(names) <= HEAT_UP_TO:
        drawn = bars.heat(f"{said}: truth by answer of {len(names)} classes", counts_KK.tolist(), names)
        return figure(f"{said}; shade is share of row", tag("div", {"class": "wide"}, drawn))
    wrong_KK = counts_KK * (1 - np.eye(len(names), dtype=counts_KK.dtype))
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:SHOWN]
    pairs = [(place // len(names), place % len(names)) for place in order.tolist()]
    rows = [
        (names[a], names[b], int(wrong_KK[a, b]), figures.share(wrong_KK[a, b] / counts_KK[a].sum()))
        for a, b in pairs
        if wrong_KK[a, b]
    ]
    return figure(
        f"{said}: the most frequent", table(("truth", "answer", "rows", "of the truth"), rows, left=(0, 1))
    )


def _classes(hits_K: np.ndarray, truth_K: np.ndarray, said_K: np.ndarray, names: Sequence[str]) -> Markup:
    """Recall and precision per class, the worst recall first where there are many."""
    recall_K = hits_K / np.maximum(truth_K, 1)
    present = [place for place in range(len(names)) if truth_K[place] or said_K[place]]
    many = len(present) > HEAT_UP_TO
    order = sorted(present, key=lambda place: (recall_K[place], place))[:SHOWN] if many else present
    rows = [
        _class(names[place], int(hits_K[place]), int(truth_K[place]), int(said_K[place])) for place in order
    ]
    head = ("class", "rows", "recall", "95 % interval", "", "precision", "95 % interval", "F1")
    title = f"The {SHOWN} classes with the worst recall of {len(present)}" if many else "Per class"
    return join([tag("h3", None, title), table(head, rows, left=(0, 4))])


def _class(name: str, hits: int, rows: int, answered: int) -> list[Inside]:
    recall, precision = (metrics.proportion(hits, count) if count else None for count in (rows, answered))
    f1 = 2 * hits / (rows + answered)
    return [
        name,
        rows,
        *_proportion(recall),
        _bar(recall["value"] if recall else 0.0),
        *_proportion(precision),
        f"{f1:.3f}",
    ]


def _proportion(entry: metrics.Figure | None) -> list[Inside]:
    if entry is None:
        return [figures.NONE, figures.NONE]
    return [figures.share(entry["value"]), f"{100 * entry['low']:.0f} to {100 * entry['high']:.0f}"]


def _bar(share: float) -> Markup:
    """A length beside a figure, for the eye; the figure itself stands in its own cell."""
    track = tag("rect", {"class": "track", "x": 0, "y": 3, "width": 72, "height": 6})
    fill = tag("rect", {"class": "bar s0", "x": 0, "y": 3, "width": 72 * share, "height": 6})
    return tag("svg", {"viewBox": "0 0 72 12", "width": 72, "height": 12, "aria-hidden": "true"}, track, fill)


def binned(confidence_N: np.ndarray, outcome_N: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and rows of every bin that has rows; the bins of the calibration error."""
    bins_N = np.minimum((confidence_N * metrics.NUM_BINS).astype(np.int64), metrics.NUM_BINS - 1)
    rows_G = np.bincount(bins_N, minlength=metrics.NUM_BINS)
    confidence_G = np.bincount(bins_N, confidence_N, metrics.NUM_BINS) / np.maximum(rows_G, 1)
    outcome_G = np.bincount(bins_N, outcome_N, metrics.NUM_BINS) / np.maximum(rows_G, 1)
    return [(float(confidence_G[g]), float(outcome_G[g]), int(rows_G[g])) for g in np.flatnonzero(rows_G)]


def _calibration(scores: Scores, answers: dict[str, np.ndarray]) -> Markup:
    if "confidence" not in answers:
        return Markup("")
    right_N = (answers["truth"] == answers["answer"]).astype(np.float64)
    entry = scores.metrics.get("calibration_error")
    error = (
        f" error {figures.metric(entry['value'])} {figures.interval(entry['low'], entry['high'])}"
        if entry
        else ""
    )
    drawn = charts.reliability(
        "reliability diagram: accuracy by confidence", binned(answers["confidence"], right_N)
    )
    return figure(f"Calibration{error}", drawn)
