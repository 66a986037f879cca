"""markup: HTML and SVG as text that is escaped unless it is already markup.

Everything that comes from data passes through `tag` or `text`; other `Markup` is literal.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

EMPTY = ("br", "img", "meta", "path", "rect", "circle")
"""Elements written without a closing tag when nothing is inside."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Inside = str | int | float | None
Attributes = Mapping[str, str | int | float | None]


def text(said: Inside) -> Markup:
    """Escaped unless it is markup; None is empty."""
    if isinstance(said, Markup):
        return said
    return Markup("" if said is None else html.escape(str(said), quote=True))


def tag(name: str, attributes: Attributes | None = None, *inside: Inside) -> Markup:
    """One element; attributes that are None are left out, numbers are shortened."""
    given = "".join(
        f' {key}="{text(number(value))}"' for key, value in (attributes or {}).items() if value is not None
    )
    if not inside and name in EMPTY:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(inside)}</{name}>")


def number(value: str | int | float) -> str | int:
    """A float with at most two decimals, so that pages are small and equal everywhere."""
    if not isinstance(value, float):
        return value
    short = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def join(parts: Iterable[Inside], between: str = "") -> Markup:
    return Markup(text(between).join(text(part) for part in parts))


def section(name: str, title: str, *inside: Inside) -> Markup:
    """One part of the page under its heading; `name` is its anchor."""
    return tag("section", {"id": name}, tag("h2", None, title), *inside)


def anchor(made: Markup) -> str:
    """The name of a section."""
    return made.removeprefix('<section id="').partition('"')[0]


def note(said: Inside) -> Markup:
    return tag("p", {"class": "note"}, said)


@dataclass(frozen=True, slots=True)
class Spread:
    """A cell that takes several columns, aligned left."""

    inside: Inside
    columns: int


def table(
    head: Sequence[Inside],
    rows: Iterable[Sequence[Inside | Spread]],
    *,
    left: Sequence[int] = (0,),
    kind: str = "",
) -> Markup:
    """A table that scrolls by itself where it is too wide.

    Args:
        left: columns aligned left; the others hold figures.
        kind: of the table, for the style sheet.
    """

    def one(element: str, place: int, cell: Inside | Spread) -> Markup:
        if isinstance(cell, Spread):
            return tag(element, {"colspan": cell.columns, "class": "spread"}, cell.inside)
        return tag(element, {"class": None if place in left else "n"}, cell)

    def row(element: str, cells: Sequence[Inside | Spread]) -> Markup:
        return tag("tr", None, *(one(element, place, cell) for place, cell in enumerate(cells)))

    body = join(row("td", cells) for cells in rows)
    whole = tag(
        "table", {"class": kind or None}, tag("thead", None, row("th", head)), tag("tbody", None, body)
    )
    return tag("div", {"class": "wide"}, whole)


def figure(caption: Inside, *inside: Inside) -> Markup:
    """A picture with its caption above it."""
    return tag("figure", None, tag("figcaption", None, caption), *inside)


def grid(*figures: Inside) -> Markup:
    """Pictures side by side where there is room."""
    return tag("div", {"class": "grid"}, *figures)
