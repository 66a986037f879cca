"""film: one episode of a policy, side by side and moving, where its environment draws itself.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from lichen.core.errors import LichenError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data.png import data_uri
from lichen.report import figures
from lichen.report.findings import Findings
from lichen.report.markup import Markup, figure, note, section, tag

NUM_SHOWN, NUM_MOVING = 8, 32
"""Pictures side by side; moving ones are up to twice as many."""
PAUSE_MS, LAST_MS = 100, 1500
"""How long a moving picture stands, and the last one, before it begins again."""
COLOURS = 64
"""Of a moving picture; environments are drawn with few."""
GAP = 2
"""Pixels between two pictures."""
TITLE = "An episode"


def film(found: Findings) -> Markup:
    """The first validation episode, from its beginning to its end."""
    policy, world = found.value, found.environment
    if world is None or not isinstance(policy, Model | Program):
        return Markup("")
    try:
        from lichen.engine.decision import film as engine  # the report of a classifier needs no gymnasium

        told = engine.of(policy, world, "validation", NUM_MOVING)
    except LichenError as error:
        return section("episode", TITLE, note(f"{error.message}."))
    chosen = np.linspace(0, len(told.pictures) - 1, min(NUM_SHOWN, len(told.pictures))).round().astype(int)
    after = ", ".join(str(told.steps[place]) for place in chosen)
    earned, length = figures.metric(told.earned), figures.whole(told.length)
    said = f"The first episode of validation, after {after} steps; it returned {earned} in {length}."
    strip = strip_of([told.pictures[place] for place in chosen])
    parts = [figure(said, tag("img", {"src": data_uri(strip), "alt": said, "class": "sheet"}))]
    if moving := gif_of(told.pictures):
        also = f"The same in {len(told.pictures)} pictures."
        parts.append(figure(also, tag("img", {"src": _uri(moving), "alt": also})))
    return section("episode", TITLE, *parts)


def strip_of(pictures: list[np.ndarray]) -> np.ndarray:
    """uint8 (C, H, W) of pictures side by side, with a white gap."""
    channels, height, _ = pictures[0].shape
    gap = np.full((channels, height, GAP), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], 2)


def gif_of(pictures: Sequence[np.ndarray]) -> bytes | None:
    """A GIF of pictures uint8 (C, H, W), over and over; None where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    shown = [Image.fromarray(_coloured(picture)).quantize(COLOURS) for picture in pictures]
    lasts, written = [PAUSE_MS] * (len(shown) - 1) + [LAST_MS], io.BytesIO()
    shown[0].save(written, "GIF", save_all=True, append_images=shown[1:], duration=lasts, loop=0)
    return written.getvalue()


def _coloured(picture_CHW: np.ndarray) -> np.ndarray:
    """(H, W, 3) of a picture in colours or in shades."""
    shown_CHW = picture_CHW[:3] if len(picture_CHW) >= 3 else picture_CHW[:1].repeat(3, 0)
    return np.ascontiguousarray(shown_CHW.transpose(1, 2, 0))


def _uri(gif: bytes) -> str:
    return "data:image/gif;base64," + base64.b64encode(gif).decode()
