"""film: one episode of a policy in pictures, where its environment draws itself."""

from __future__ import annotations

import numpy as np

from lichen.core.errors import LichenError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data.png import data_uri
from lichen.report import figures
from lichen.report.findings import Findings
from lichen.report.markup import Markup, note, section, tag

NUM_SHOWN = 8
GAP = 2
"""Pixels between two pictures."""
TITLE = "An episode"


def film(found: Findings) -> Markup:
    """The first validation episode, from its beginning to its end."""
    policy, world = found.value, found.environment
    if world is None or not isinstance(policy, Model | Program):
        return section("episode", TITLE, note("Nothing of this life acts in an environment."))
    try:
        from lichen.engine import film as engine  # the report of a classifier needs no gymnasium

        told = engine.of(policy, world, "validation", NUM_SHOWN)
    except LichenError as error:
        return section("episode", TITLE, note(f"{error.message}."))
    chosen = np.linspace(0, len(told.pictures) - 1, min(NUM_SHOWN, len(told.pictures))).round().astype(int)
    after = ", ".join(str(told.steps[place]) for place in chosen)
    earned, length = figures.metric(told.earned), figures.whole(told.length)
    said = f"The first episode of validation, after {after} steps; it returned {earned} in {length}."
    strip = strip_of([told.pictures[place] for place in chosen])
    return section("episode", TITLE, tag("figure", None, tag("figcaption", None, said),
                   tag("img", {"src": data_uri(strip), "alt": said, "class": "sheet"})))  # fmt: skip


def strip_of(pictures: list[np.ndarray]) -> np.ndarray:
    """uint8 (C, H, W) of pictures side by side, with a white gap."""
    channels, height, _ = pictures[0].shape
    gap = np.full((channels, height, GAP), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], 2)
