"""frontier: forms of one model by what they lost and cost: which may be had, which nothing beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lichen.core.program import Program
from lichen.engine.compression.target import Profile, Target
from lichen.engine.programs import race

Chain = tuple[tuple[str, Mapping[str, Any]], ...]
"""Steps with the options that they were given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A form of a model: how it was made, what it lost on validation and what it costs.

    `low` and `high` hold for all points together. `refused` says why it may not be had; empty: it may.
    """

    chain: Chain
    program: Program | None = None
    """None where a step refused to make it."""
    is_plain: bool = False
    """The last step changed the form alone, and held the outputs to those of what it took."""
    quality: float | None = None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    latency_ms: float | None = None
    memory_bytes: int | None = None
    is_front: bool = False
    """No point is at least as good, as fast and as small, and better in one."""
    refused: str = ""

    @property
    def is_exact(self) -> bool:
        """The model as it was, in another form."""
        return self.is_plain and len(self.chain) == 1

    def is_unsure(self, max_drop: float) -> bool:
        """Whether it lost little enough on the rows there are, and may have lost more."""
        return self.drop is not None and self.drop <= max_drop < (self.high or 0.0) and not self.is_exact

    @property
    def words(self) -> str:
        """prune 2, quantize int8 openvino."""
        return ", ".join(
            " ".join([address.rpartition(":")[2].rpartition(".")[2], *map(_plain, options.values())])
            for address, options in self.chain
        )

    def as_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("chain", "program")}
        return {
            **plain,
            "words": self.words,
            "is_exact": self.is_exact,
            "size_bytes": self.program and self.program.size_bytes,
            "digest": self.program and self.program.digest,
            "steps": [[address, dict(options)] for address, options in self.chain],
        }


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def front(costs: Sequence[tuple[float, ...]]) -> list[bool]:
    """Whether no other is at most as costly in every way and less so in one; less is better everywhere."""
    return [not any(_beats(other, one) for other in costs) for one in costs]


def _beats(other: tuple[float, ...], one: tuple[float, ...]) -> bool:
    return other != one and all(theirs <= mine for theirs, mine in zip(other, one, strict=True))


def base_of(points: Sequence[Point]) -> Point:
    """The fastest form of the model as it was."""
    return min((point for point in points if point.is_exact), key=latency)


def latency(point: Point) -> float:
    assert point.latency_ms is not None
    return point.latency_ms


def settled(points: Sequence[Point], profile: Profile, max_drop: float) -> list[Point]:
    """Timed points with what each is refused for, and the frontier marked."""
    made = [point for point in points if point.program is not None]
    costs = [(point.drop or 0.0, latency(point), float(size(point))) for point in made]
    is_front = {id(point): found for point, found in zip(made, front(costs), strict=True)}
    return [
        replace(
            point, is_front=is_front.get(id(point), False),
            refused=point.refused or _refusal(point, made, profile, max_drop),
        )
        for point in points
    ]  # fmt: skip


def _refusal(point: Point, made: Sequence[Point], profile: Profile, max_drop: float) -> str:
    if broken := profile.broken(size(point), point.memory_bytes):
        return broken
    before = min(_origins(point, made), key=latency, default=None)
    if before is not None and latency(point) > (1.0 + race.NEAR) * latency(before):
        return f"slower than {before.words}, {latency(before):.3g} ms"
    assert point.drop is not None and point.high is not None
    if point.is_exact:
        return ""
    if point.drop > max_drop:
        return f"lost {point.drop:.4f}"
    return f"may have lost {point.high:.4f}" if point.high > max_drop else ""


def _origins(point: Point, made: Sequence[Point]) -> list[Point]:
    """What a point came from: the model as it was, and its own chain with one step less."""
    base = base_of(made)
    less = [point.chain[:place] + point.chain[place + 1 :] for place in range(len(point.chain))]
    found = [
        other
        for other in made
        if other.chain in less
        or (other.is_plain and not point.is_plain and other.chain[:-1] == point.chain[:-1])
    ]
    return [other for other in (base, *found) if other is not point]


def size(point: Point) -> int:
    assert point.program is not None
    return point.program.size_bytes


def best_of(points: Sequence[Point], target: Target) -> tuple[Point, bool]:
    """The best of settled points, and whether it is what was asked for.

    Of those that reach the target the one that lost least; else the nearest to the target. Where nothing may
    be had it is the fastest form of the model as it was.
    """
    base = base_of(points)

    def excess(point: Point) -> float:
        return target.excess(latency(point), size(point), latency(base))

    had = [point for point in points if not point.refused]
    if not had:
        return base, False
    reaching = [] if target.is_open else [point for point in had if excess(point) <= 1.0]
    if reaching:
        return min(reaching, key=lambda point: (point.drop or 0.0, excess(point))), True
    nearest = min(map(excess, had))
    # Times that are this near say nothing: of those the one that lost least.
    tied = [point for point in had if excess(point) <= (1.0 + race.NEAR) * nearest]
    best = min(tied, key=lambda point: (not point.is_exact, point.drop or 0.0, excess(point)))
    return best, target.is_open and not best.is_exact
