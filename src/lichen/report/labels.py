"""labels: places for the names of points, so that no name covers another, a point or the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LINE_HEIGHT = 13.0
CHARACTER_WIDTH = 6.8
"""Of the page's 11-pixel figures and letters, on the wide side."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its corners."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def width_of(text: str) -> float:
    return CHARACTER_WIDTH * len(text)


def place(
    points: Sequence[tuple[float, float]], names: Sequence[str], frame: Box, radius: float = 5.0
) -> list[Box | None]:
    """A box for each name near its point; None where nothing near is free.

    Args:
        points: in pixels.
        frame: what the boxes stay inside.
        radius: of the points' marks, which the boxes keep off.
    """
    taken = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    found: list[Box | None] = []
    for (x, y), name in zip(points, names, strict=True):
        free = (
            box
            for box in _near(x, y, width_of(name), radius)
            if frame.holds(box) and not any(box.meets(other) for other in taken)
        )
        box = next(free, None)
        if box is not None:
            taken.append(box)
        found.append(box)
    return found


def _near(x: float, y: float, width: float, radius: float) -> list[Box]:
    """Boxes right, left, above and below, then ever farther off."""
    boxes = []
    for reach in (radius + 2.0, radius + 12.0, radius + 26.0, radius + 44.0, radius + 66.0):
        half = LINE_HEIGHT / 2
        starts = [
            (x + reach, y - half),
            (x - reach - width, y - half),
            (x - width / 2, y - reach - LINE_HEIGHT),
            (x - width / 2, y + reach),
            (x + reach, y - reach - half),
            (x + reach, y + reach - half),
            (x - reach - width, y - reach - half),
            (x - reach - width, y + reach - half),
        ]
        boxes += [Box(left, top, left + width, top + LINE_HEIGHT) for left, top in starts]
    return boxes
