"""attribution: the pixels that spoke for an answer and against it, for rows answered rightly and wrongly.

Shapes: B rows shown, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from lichen.core.errors import LichenError, MachineError
from lichen.core.model import Model
from lichen.data.png import data_uri
from lichen.engine import attribution as engine
from lichen.engine.training import supervised
from lichen.report import figures, samples
from lichen.report.findings import Findings
from lichen.report.markup import Markup, join, note, section, tag

PER_GROUP = 4
SIDE = 64
"""Pixels of a picture's side at most: what spoke is smooth, and the page is to stay light."""
BLUR = 16
"""A picture's side holds this many blurs: single pixels of a gradient are noise to the eye."""
FOR, AGAINST = (196, 79, 0), (0, 103, 165)
"""The page's orange and blue."""
PALE = 0.35
"""How much of the grey picture shines through where nothing spoke."""
TITLE = "Why it answered so"


def attribution(found: Findings) -> Markup:
    """Integrated gradients of the life's last Model for some rows of validation."""
    model = next((stage.value for stage in reversed(found.models) if isinstance(stage.value, Model)), None)
    if model is not None and "image_shape" not in model.assets:  # only answers about pictures are explained
        return Markup("")
    if reason := samples.unshown(found):
        return section("why", TITLE, note(reason))
    if model is None or list(model.assets.get("labels") or []) != found.labels:
        return section("why", TITLE, note("There is no Model in this life that answers as its last value."))
    try:
        return section("why", TITLE, *_groups(found, model))
    except MachineError as error:
        return section("why", TITLE, note(f"{error.message}: {error.hint}"))
    except (LichenError, OSError) as error:
        return section("why", TITLE, note(f"It cannot be shown: {samples.gone(error)}"))


def _groups(found: Findings, model: Model) -> list[Markup]:
    scores = found.last.scores
    assert scores is not None
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    num_rows = min(PER_GROUP, engine.affordable(model) // 3)  # a right row has one picture, a wrong one two
    if not num_rows:
        return [note(f"`{model.net}` is too large for its answers to be explained in a few seconds.")]
    shown, errors = [], []
    for title, rows in chosen(answers, num_rows):
        if len(rows):
            items, error = _shown(found, model, answers, rows)
            shown.append(join([tag("h3", None, title), tag("div", {"class": "reasons"}, *items)]))
            errors.append(error)
    others = "" if model == found.value else f" They are of the model {model.id}, which this one was made of."
    return [*shown, note(
        "Orange spoke for the class under a picture, blue against it: integrated gradients from the mean"
        " picture, by captum. What pixels gave adds up to what the output gained, to"
        f" {figures.share(max(errors))} here. It says what the net went by, not if that was right.{others}"
    )]  # fmt: skip


def chosen(answers: dict[str, np.ndarray], num_rows: int) -> list[tuple[str, np.ndarray]]:
    """Right rows by the hash of their place, and the most certain errors."""
    some, _, certain = (rows for _, rows in samples.groups(answers, len(answers["truth"])))
    right = some[answers["truth"][some] == answers["answer"][some]]
    return [("Right", right[:num_rows]), ("Wrong with confidence", certain[:num_rows])]


def _shown(
    found: Findings, model: Model, answers: dict[str, np.ndarray], rows: np.ndarray
) -> tuple[list[Markup], float]:
    """The pictures of each row, and the largest share that its pixels miss the output's gain by."""
    assert found.data is not None and found.last.scores is not None
    read = found.data.rows(found.last.scores.split)
    images_BCHW = read.batch(rows, supervised.side(read, model.assets["image_shape"]))
    truth, answer = answers["truth"][rows], answers["answer"][rows]
    sides = [answer] if (truth == answer).all() else [answer, truth]
    made = [engine.integrated(model, images_BCHW, places.tolist()) for places in sides]
    items = []
    for place, pixels_CHW in enumerate(_small(images_BCHW)):
        spoken = [
            (found.labels[int(places[place])], overlay(pixels_CHW, one.pixels[place]))
            for places, one in zip(sides, made, strict=True)
        ]
        share = figures.share(answers["confidence"][rows[place]])
        items.append(_reason(pixels_CHW, found.labels[int(truth[place])], spoken, share))
    return items, max(one.error for one in made)


def _reason(
    pixels_CHW: np.ndarray, truth: str, spoken: Sequence[tuple[str, np.ndarray]], share: str
) -> Markup:
    pictures = [(truth, "as it is", pixels_CHW)]
    pictures += [(name, f"what spoke for {name}", drawn_CHW) for name, drawn_CHW in spoken]
    drawn = [
        tag("figure", None, tag("img", {"src": data_uri(pixels), "alt": said, "title": said}),
            tag("p", None, tag("b", None, name) if said == "as it is" else name))
        for name, said, pixels in pictures
    ]  # fmt: skip
    mark = "✓" if spoken[0][0] == truth else "✗"
    sure = tag("small", {"class": None if mark == "✓" else "bad"}, f"{mark} {spoken[0][0]} {share}")
    return tag("div", {"class": "reason"}, tag("div", {"class": "beside"}, *drawn), sure)


def _small(images_BCHW: np.ndarray) -> np.ndarray:
    """uint8, no larger than SIDE."""
    sides = _sides(images_BCHW.shape[2:])
    if sides == images_BCHW.shape[2:]:
        return images_BCHW
    pooled_BCHW = functional.adaptive_avg_pool2d(torch.from_numpy(images_BCHW.copy()).float(), sides)
    return pooled_BCHW.round().to(torch.uint8).numpy()


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    share = min(1.0, SIDE / max(shape))
    return max(1, round(shape[0] * share)), max(1, round(shape[1] * share))


def overlay(pixels_CHW: np.ndarray, given_HW: np.ndarray) -> np.ndarray:
    """uint8 (3, H, W): a pale grey picture under what its pixels gave, both of the picture's size."""
    given = functional.adaptive_avg_pool2d(torch.from_numpy(given_HW)[None, None], pixels_CHW.shape[1:])
    width = max(given.shape[2:]) // BLUR // 2 * 2 + 1
    given = functional.avg_pool2d(given, width, 1, width // 2, count_include_pad=False)
    given_HW = given[0, 0].numpy()
    top = np.quantile(np.abs(given_HW), 0.99)
    strength_HW = np.clip(np.abs(given_HW) / max(top, 1e-12), 0.0, 1.0)
    grey_HW = 255.0 - PALE * (255.0 - pixels_CHW.astype(np.float32).mean(0))
    colour_CHW = np.where(given_HW > 0, np.array(FOR)[:, None, None], np.array(AGAINST)[:, None, None])
    return (grey_HW * (1.0 - strength_HW) + colour_CHW * strength_HW).round().astype(np.uint8)
