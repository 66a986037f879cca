"""graph: what reads what: the calls of a life in order, and the values that pass between them.

Each call is a box on its own line. A value that the next call reads goes straight down; one that is read
later runs down a lane at the side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lichen.core.lineage import Call
from lichen.report import figures
from lichen.report.findings import Findings
from lichen.report.markup import Markup, figure, join, note, section, table, tag
from lichen.report.svg import picture, stroke, words

BOX_WIDTH, BOX_HEIGHT, PITCH = 210.0, 34.0, 74.0
LANE = 88.0
CORNER = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A value on its way from one call to another, by their lines."""

    start: int
    end: int
    digest: str
    kind: str
    lane: int | None = None
    """None: straight down."""


def edges(calls: Sequence[Call]) -> list[Edge]:
    """Every value read, each in the first lane that is free all the way."""
    line = {call.id: place for place, call in enumerate(calls)}
    read = [
        Edge(start=line[ref.made.call.id], end=line[call.id], digest=ref.digest, kind=ref.kind)
        for call in calls
        for ref in call.inputs.values()
        if ref.made
    ]
    busy: list[int] = []
    placed: list[Edge] = []
    for edge in sorted(
        set(read), key=lambda edge: (edge.end - edge.start > 1, edge.start, edge.end, edge.digest)
    ):
        is_straight = edge.end - edge.start == 1 and not any(
            other.lane is None and other.start == edge.start for other in placed
        )
        lane = (
            None
            if is_straight
            else next((n for n, until in enumerate(busy) if until <= edge.start), len(busy))
        )
        if lane is not None:
            busy[lane : lane + 1] = [edge.end]
        placed.append(Edge(start=edge.start, end=edge.end, digest=edge.digest, kind=edge.kind, lane=lane))
    return placed


def draw(calls: Sequence[Call], last: str) -> Markup:
    """The picture; `last` is the digest that all of it made."""
    found = edges(calls)
    num_lanes = max((edge.lane + 1 for edge in found if edge.lane is not None), default=0)
    parts = [_edge(edge) for edge in found]
    for place, call in enumerate(calls):
        top = place * PITCH + 1
        parts += [
            tag(
                "rect", {"class": "box", "x": 1, "y": top, "width": BOX_WIDTH, "height": BOX_HEIGHT, "rx": 4}
            ),
            words(13, top + 21, call.step, "box-name"),
            words(BOX_WIDTH - 10, top + 21, figures.seconds(call.seconds), "tick", "end"),
        ]
    foot = (len(calls) - 1) * PITCH + BOX_HEIGHT + 1
    parts += [
        _arrow(24, foot, foot + 26),
        words(36, foot + 22, f"{calls[-1].kinds.get('', 'value')} {figures.short(last)}", "digest-name"),
    ]
    width = BOX_WIDTH + 34 + num_lanes * LANE
    return picture(
        f"lineage of {len(calls)} calls and {len(found)} values read", max(width, 300.0), foot + 36, *parts
    )


def _arrow(x: float, top: float, bottom: float) -> Markup:
    head = tag(
        "path",
        {"class": "arrow", "d": f"M{x - 4:g} {bottom - 7:g}L{x:g} {bottom:g}L{x + 4:g} {bottom - 7:g}"},
    )
    return join([stroke("edge", x, top, x, bottom), head])


def _edge(edge: Edge) -> Markup:
    top, bottom = edge.start * PITCH + BOX_HEIGHT + 1, edge.end * PITCH + 1
    if edge.lane is None:
        return join(
            [
                _arrow(24, top, bottom - 1),
                words(36, (top + bottom) / 2 + 4, f"{edge.kind} {figures.short(edge.digest)}", "digest-name"),
            ]
        )
    x, leave, enter = BOX_WIDTH + 26 + edge.lane * LANE, top - 9, bottom + 9
    shape = (
        f"M{BOX_WIDTH + 1:g} {leave:g}H{x - CORNER:g}Q{x:g} {leave:g} {x:g} {leave + CORNER:g}"
        f"V{enter - CORNER:g}Q{x:g} {enter:g} {x - CORNER:g} {enter:g}H{BOX_WIDTH + 4:g}"
    )
    head = f"M{BOX_WIDTH + 10:g} {enter - 4:g}L{BOX_WIDTH + 3:g} {enter:g}L{BOX_WIDTH + 10:g} {enter + 4:g}"
    middle = (leave + enter) / 2
    return join(
        [
            tag("path", {"class": "edge", "d": shape}),
            tag("path", {"class": "arrow", "d": head}),
            words(x + 6, middle, edge.kind, "tick"),
            words(x + 6, middle + 14, figures.short(edge.digest), "digest-name"),
        ]
    )


def lineage(found: Findings) -> Markup:
    """The picture, then every call with its options, its decisions and what it said."""
    calls = found.calls
    rows = [(_head(call), _pairs(call.options), _pairs(call.decisions)) for call in calls]
    said = [
        tag("li", {"class": kind}, tag("b", None, call.step), f" {kind}: {text}")
        for call in calls
        for kind, text in found.notes[call.id]
    ]
    return section(
        "lineage",
        "How it was made",
        figure(
            "Steps in order, and the values between them",
            tag("div", {"class": "wide"}, draw(calls, found.value.digest)),
        ),
        table(("step", "options", "decided by measuring"), rows, left=(0, 1, 2), kind="options"),
        tag("ul", {"class": "notes"}, *said) if said else Markup(""),
        note("Options that were left empty are not shown."),
    )


def _head(call: Call) -> Markup:
    mark = " (accepted from older code)" if call.is_accepted else ""
    return join(
        [tag("b", None, call.step), mark, tag("br"), tag("small", None, figures.moment(call.started))]
    )


def _pairs(given: object) -> Markup:
    assert hasattr(given, "items")
    shown = [
        tag("span", {"class": "pair"}, tag("i", None, f"{name} "), figures.plain(value))
        for name, value in given.items()
        if value is not None
    ]
    return join(shown) if shown else Markup(figures.NONE)
