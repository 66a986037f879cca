"""frontier: of things that cost in several ways, those that nothing beats."""

from __future__ import annotations

from collections.abc import Sequence


def front(costs: Sequence[tuple[float, ...]]) -> list[bool]:
    """Whether no other is at most as costly in every way and less so in one; less is better everywhere."""
    return [not any(_beats(other, one) for other in costs) for one in costs]


def _beats(other: tuple[float, ...], one: tuple[float, ...]) -> bool:
    return other != one and all(theirs <= mine for theirs, mine in zip(other, one, strict=True))
