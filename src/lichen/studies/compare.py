"""compare: aligns two lineages and says what differs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lichen.core import tally
from lichen.core.errors import UsageError
from lichen.core.lineage import Call
from lichen.core.session import current
from lichen.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One aligned step: its call on either side (None where a side has none) and what differs."""

    step: str
    left: Call | None
    right: Call | None
    differences: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two lives side by side."""

    rows: tuple[Row, ...]
    scores: Mapping[str, tuple[float | None, float | None]]
    """Recorded metrics of both values by `split metric`, each on what its own life is judged on."""

    @property
    def first_difference(self) -> str | None:
        """The first step whose outputs differ."""
        return next((row.step for row in self.rows if row.differences), None)

    def as_json(self) -> dict[str, Any]:
        rows = [{"step": row.step, "left": row.left.id[:10] if row.left else None,
                 "right": row.right.id[:10] if row.right else None,
                 "differences": {name: list(pair) for name, pair in row.differences.items()}}
                for row in self.rows]  # fmt: skip
        return {"rows": rows, "scores": {name: list(pair) for name, pair in self.scores.items()}}

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            mark = (
                "=" if not row.differences else "+" if row.left is None else "-" if row.right is None else "~"
            )
            lines.append(f"{mark} {row.step}")
            if row.left and row.right:
                lines += [f"    {name}: {left} -> {right}" for name, (left, right) in row.differences.items()]
        lines += [
            f"  {name}: {_figure(left)} -> {_figure(right)}" for name, (left, right) in self.scores.items()
        ]
        return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def compare(left: Value, right: Value) -> Comparison:
    """Aligns the steps behind two values in order, and compares options, decisions, code and outputs.

    Raises:
        UsageError: one of them was not made by recorded steps.
    """
    for value in (left, right):
        if value.made is None:
            raise UsageError(f"{value!r} was not made by recorded steps, so there is nothing to compare")
    assert left.made and right.made
    one, two = left.made.call.history(), right.made.call.history()
    matcher = difflib.SequenceMatcher(
        a=[call.step for call in one], b=[call.step for call in two], autojunk=False
    )
    rows: list[Row] = []
    for verb, low, high, start, end in matcher.get_opcodes():
        pairs = (
            list(zip(one[low:high], two[start:end], strict=True))
            if verb == "equal"
            else [*((call, None) for call in one[low:high]), *((None, call) for call in two[start:end])]
        )
        rows += [_row(a, b) for a, b in pairs]
    return Comparison(rows=tuple(rows), scores=_scores(left, right))


def _row(left: Call | None, right: Call | None) -> Row:
    if left is None or right is None:
        one = left or right
        assert one is not None
        return Row(
            step=one.step,
            left=left,
            right=right,
            differences={"call": (left and left.id[:10], right and right.id[:10])},
        )
    found: dict[str, tuple[Any, Any]] = {}
    for what, old, new in (
        ("option", left.options, right.options),
        ("decision", left.decisions, right.decisions),
        ("output", left.outputs, right.outputs),
        ("environment", left.environment, right.environment),
    ):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                label = f"{what} {name}".strip()
                found[label] = tuple(
                    x[:10] if what == "output" and x else x for x in (old.get(name), new.get(name))
                )  # type: ignore[assignment]
    if left.code != right.code:
        found["code"] = (left.code[:10], right.code[:10])
    return Row(step=left.step, left=left, right=right, differences=found)


def _scores(left: Value, right: Value) -> dict[str, tuple[float | None, float | None]]:
    one, two = _metrics(left), _metrics(right)
    return {name: (one.get(name), two.get(name)) for name in sorted({*one, *two})}


def _metrics(value: Value) -> dict[str, float]:
    """What `evaluate` recorded of a value on its life's own ground; of a figure measured twice the surer."""
    store = current().store
    if store is None or value.made is None:
        return {}
    ground = tally.grounds(value.made.call.history(), store)
    return {f"{scores.split} {name}": entry["value"] for _, scores in tally.own(value, ground, store)
            for name, entry in scores.metrics.items()}  # fmt: skip
