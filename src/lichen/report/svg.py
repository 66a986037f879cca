"""svg: a picture that reads as one image, and the marks that all pictures share."""

from __future__ import annotations

from collections.abc import Sequence

from lichen.report.markup import Attributes, Markup, tag

WIDTH = 440.0
"""Pixels at which one unit of the picture is one pixel: two stand side by side, one fills a phone."""
RIGHT = 14.0
"""What is left free at the right."""


def picture(title: str, width: float, height: float, *inside: str) -> Markup:
    """An SVG that reads as one image with a name; it shrinks with its column or, if large, scrolls."""
    attributes: Attributes = {
        "viewBox": f"0 0 {width:g} {height:g}",
        "width": width,
        "role": "img",
        "aria-label": title,
        "class": "large" if width > 1.1 * WIDTH else None,
    }
    return tag("svg", attributes, tag("title", None, title), *inside)


def words(x: float, y: float, said: str, kind: str = "", anchor: str | None = None) -> Markup:
    return tag("text", {"x": x, "y": y, "class": kind or None, "text-anchor": anchor}, said)


def stroke(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return tag("path", {"class": kind, "d": f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"})


def path(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    return tag("path", {"class": kind, "d": "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)})


def dot(kind: str, x: float, y: float, radius: float, said: str = "") -> Markup:
    return tag(
        "circle",
        {"class": kind, "cx": x, "cy": y, "r": radius},
        *([tag("title", None, said)] if said else []),
    )
