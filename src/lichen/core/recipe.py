"""recipe: a lineage as it is asked for: lines of steps with their options, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lichen.core.schema import Signature

LOAD = "prepare.load"
ENVIRONMENT = "prepare.environment"
HEADS = {"data": (LOAD, "source"), "environment": (ENVIRONMENT, "id")}
"""Steps that a recipe may begin with under a key of their own, and the option that a lone text is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One call that a recipe asks for.

    Args:
        values: `$name` or `$name.field` for inputs that are not the chain's current ones.
        label: what `as:` calls the output.
        where: file and line, for messages.
    """

    step: str
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole life: where data come from or what is acted in, its steps, and studies over the result."""

    name: str
    lines: tuple[Line, ...]
    studies: tuple[Line, ...] = ()


def is_reference(given: Any) -> bool:
    return isinstance(given, str) and given.startswith("$")


def settled(line: Line, read: Signature) -> Line:
    """The line with `$text` given for an option taken as text: only values are referred to."""
    texts = {name: given for name, given in line.values.items() if name in read.options}
    values = {name: given for name, given in line.values.items() if name not in texts}
    return replace(line, options={**line.options, **texts}, values=values) if texts else line


def position(line: Line, option: str | None = None) -> str:
    """File and line of a step, or of one of its options."""
    where, *rest = line.where.split("\t")
    for entry in reversed(rest):
        name, _, seen = entry.partition("=")
        if name == option:
            return f"{where.rpartition(':')[0]}:{seen}" if seen.isdecimal() else seen
    return where
