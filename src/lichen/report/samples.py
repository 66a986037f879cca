"""samples: rows of validation with what was said about them, and what the policy makes of train rows.

Shapes: N rows of the split, B rows shown, C channels, H height, W width, D draws of the policy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lichen.core.dataset import Dataset
from lichen.core.errors import LichenError
from lichen.core.scores import Scores
from lichen.data import augment, draws, mix
from lichen.data.png import data_uri
from lichen.data.tabular import Tabular, record
from lichen.data.texts import Texts
from lichen.engine.inputs import feeds
from lichen.report import continuations, figures, translations
from lichen.report.findings import Findings
from lichen.report.markup import Inside, Markup, join, note, section, tag

PER_GROUP = 10
LETTERS = 300
"""Of a text that are shown."""
SIDE = 96
"""Pixels of a picture's longer side at most; smaller ones keep their size and are enlarged by the page."""
NUM_VARIED, NUM_DRAWS = 4, 9
SEED = 0
"""Of the draws that are shown."""
KNOWN = ("truth", "answer", "confidence")
"""What must be known of rows that are shown."""


def samples(found: Findings) -> Markup:
    """Random, worst and confidently wrong rows of validation; of pairs and documents what is told of them."""
    is_teller = feeds.are_packed(found.value.assets)
    are_pairs = found.data is not None and "bitext" in found.data.schema
    known = ("loss", "num_bytes") if is_teller else ("truth", "answer") if are_pairs else KNOWN
    if reason := unshown(found, known):
        return section("samples", "Samples", note(reason))
    scores = found.last.scores
    assert scores is not None and found.data is not None
    try:
        if is_teller:
            parts = continuations.shown(found.value, found.data, scores)
        elif are_pairs:
            parts = translations.shown(scores, found.data.rows(scores.split))
        else:
            parts = _rows(found, scores)
    except (LichenError, OSError) as error:
        return section("samples", "Samples", note(f"The rows are gone: {gone(error)}"))
    return section("samples", "Samples", *parts)


def _rows(found: Findings, scores: Scores) -> list[Markup]:
    """Groups of rows with what was said about each."""
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    return [_group(found, scores, answers, title, rows) for title, rows in groups(answers)]


def unshown(found: Findings, known: Sequence[str] = KNOWN) -> str:
    """Why there are no answers to rows of this life; nothing where there are."""
    scores = found.last.scores
    if scores is None or found.data is None or not set(known) <= scores.answers().keys():
        return "There are no answers to show rows of."
    is_same = scores.manifest["data"] == found.data.identity((scores.split,))
    return "" if is_same else "The scores are of other rows than this life's."


def gone(error: LichenError | OSError) -> str:
    """Why rows cannot be shown, without the place on this machine."""
    return (
        f"{error.message}."
        if isinstance(error, LichenError)
        else f"{error.strerror or type(error).__name__}."
    )


def groups(answers: dict[str, np.ndarray], num_shown: int = PER_GROUP) -> list[tuple[str, np.ndarray]]:
    """Rows to show: some by the hash of their place, the highest losses, the most certain errors."""
    num_rows = len(answers["truth"])
    hashes_N = draws.hashes(np.arange(num_rows), seed=SEED, epoch=0)
    wrong = np.flatnonzero((answers["truth"] != answers["answer"]).reshape(num_rows, -1).any(1))
    certain = wrong[np.argsort(-answers["confidence"][wrong], kind="stable")]
    loss_N = answers.get("loss", -answers["outcome"])
    return [
        ("At random", np.argsort(hashes_N, kind="stable")[:num_shown]),
        ("Worst: the highest losses", np.argsort(-loss_N, kind="stable")[:num_shown]),
        ("Wrong with confidence", certain[:num_shown]),
    ]


def _group(
    found: Findings, scores: Scores, answers: dict[str, np.ndarray], title: str, rows: np.ndarray
) -> Markup:
    if not len(rows):
        return join([tag("h3", None, title), note("No row of validation was answered wrongly.")])
    assert found.data is not None
    names, read = found.labels, found.data.rows(scores.split)
    is_text = bool({"text", "tabular"} & found.data.schema.keys())
    held = _words(read, rows) if is_text else pictures(found.data, scores.split, rows)
    shown = []
    for item, row in zip(held, rows.tolist(), strict=True):
        truth, answer = (named(answers[what][row], names) for what in ("truth", "answer"))
        is_right = truth == answer
        said = (
            [tag("b", None, truth)]
            if is_right
            else [tag("b", None, truth), tag("span", {"class": "bad"}, f"✗ {answer}")]
        )
        place = read.describe(row).rpartition("/")[2]
        said.append(
            tag("small", None, f"{'✓ ' if is_right else ''}{figures.share(answers['confidence'][row])}")
        )
        name = f"{truth}, answered {answer}: {place}"
        shown.append(_saying(item, name, said) if is_text else _shot(item, name, said))
    return join([tag("h3", None, title), tag("div", {"class": "sayings" if is_text else "shots"}, *shown)])


def _words(read: Texts, rows: np.ndarray) -> list[str]:
    """Texts as they are, rows of a table as their cells."""
    told = read.batch(rows)
    if not isinstance(read, Tabular):
        return told
    records = [record(text.encode()) for text in told]
    return [", ".join(f"{name} {figures.cell(cell)}" for name, cell in one.items()) for one in records]


def _saying(text: str, name: str, said: Sequence[Inside]) -> Markup:
    short = text if len(text) <= LETTERS else f"{text[:LETTERS]} ..."
    return tag("div", {"class": "saying", "title": name}, tag("q", None, short), tag("p", None, *said))


def named(said: np.ndarray, names: Sequence[str]) -> str:
    """A class by its name, or all labels of a row that are marked."""
    if said.ndim == 0:
        return names[int(said)]
    return ", ".join(names[place] for place in np.flatnonzero(said).tolist()) or "none"


def _shot(pixels_CHW: np.ndarray, name: str, said: Sequence[Inside]) -> Markup:
    height, width = pixels_CHW.shape[1:]
    picture = tag(
        "img", {"src": data_uri(pixels_CHW), "alt": name, "title": name, "width": width, "height": height}
    )
    return tag("div", {"class": "shot"}, picture, tag("p", None, *said))


def pictures(data: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
    """uint8 (B, C, H, W) of some rows, no larger than SIDE."""
    read = data.rows(split)
    is_small = read.is_uniform and max(read.shape[1:]) <= SIDE
    return read.batch(rows, None if is_small else SIDE)


def augmentation(found: Findings) -> Markup:
    """Train rows beside several draws of the policy, as training saw them."""
    data = found.data
    if data is None or not data.policy:
        return Markup("")
    try:
        original_BCHW, drawn = _drawn(data)
    except (LichenError, OSError) as error:
        return section("augmentation", "Augmentation", note(f"The rows are gone: {gone(error)}"))
    rows = [
        tag(
            "div",
            {"class": "draws"},
            _plain(original_BCHW[row], "as it is"),
            *(_plain(batch_BCHW[row], f"draw {number + 1}") for number, batch_BCHW in enumerate(drawn)),
        )
        for row in range(len(original_BCHW))
    ]
    policy = ", ".join(f"{entry['op']} {entry['strength']:g}" for entry in data.policy)
    return section(
        "augmentation",
        "Augmentation",
        *rows,
        note(f"Left: train rows as they are; right: {NUM_DRAWS} draws of the policy {policy}."),
    )


def _drawn(data: Dataset) -> tuple[np.ndarray, list[np.ndarray]]:
    """Some train rows (B, C, H, W) and the same under several epochs' draws."""
    read = data.rows("train")
    hashes_N = draws.hashes(np.arange(read.num_rows), seed=SEED, epoch=0)
    rows = np.argsort(hashes_N, kind="stable")[:NUM_VARIED]
    original_BCHW = np.ascontiguousarray(pictures(data, "train", rows))
    images = torch.from_numpy(original_BCHW.copy())
    ids = torch.from_numpy(read.ids[rows].view(np.int64).copy())
    drawn = []
    for epoch in range(NUM_DRAWS):
        uniforms = augment.drawn(data.policy, ids, seed=SEED, epoch=epoch)
        drawn.append(mix.shown(data.policy, images, uniforms).numpy())
    return original_BCHW, drawn


def _plain(pixels_CHW: np.ndarray, name: str) -> Markup:
    height, width = pixels_CHW.shape[1:]
    return tag("img", {"src": data_uri(pixels_CHW), "alt": name, "width": width, "height": height})
