"""schema: a step's signature, read from its source without importing it.

Annotations come from a closed vocabulary with literal defaults. Values come first (`Model`, `Dataset`,
`Program`, `Scores`, `Environment`, unions of these), then `*`, then options:

    int float str bool dict list[str] list[int] list[float] list[dict]  plain options; `| None` allows none
    Count Natural Fraction Ratio Positive Seed                          numbers with a range
    Net Task Source                                                     a net, a task, a data source by name
    Literal["a", "b"]   Annotated[int, Range(1, 9)]                     choices and own ranges
    Annotated[list, Table("module:NAME")]                               names of a table, each with a number
    Function                                                            a callable, hashed by its source
    Run                                                                 the run context; never keyed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any

from lichen.core.errors import OptionError, nearest


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds of a number; `None` is open."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A literal `NAME = {name: (usual, low, high)}` of a module; options list names or `{name: number}`."""

    address: str


Count = Annotated[int, Range(1, None)]
Natural = Annotated[int, Range(0, None)]
Seed = Annotated[int, Range(0, 2**31 - 1)]
Fraction = Annotated[float, Range(0.0, 1.0)]
Ratio = Annotated[float, Range(1.0, None)]
Positive = Annotated[float, Range(0.0, None)]
Level = Annotated[float, Range(0.5, 0.9999)]
Net = Annotated[str, "net"]
Task = Annotated[str, "task"]
Source = Annotated[str, "source"]
Function = Callable[..., Any]

WHOLE = 2**63
"""Whole numbers from here on are no option's: nothing counts so far, and not every library holds them."""
VALUES = ("Dataset", "Environment", "Model", "Program", "Scores", "Value")
ALIASES: dict[str, tuple[str, Range | None]] = {
    "Count": ("int", Range(1, None)),
    "Natural": ("int", Range(0, None)),
    "Seed": ("int", Range(0, 2**31 - 1)),
    "Fraction": ("float", Range(0.0, 1.0)),
    "Ratio": ("float", Range(1.0, None)),
    "Positive": ("float", Range(0.0, None)),
    "Level": ("float", Range(0.5, 0.9999)),
    "Net": ("net", None),
    "Task": ("task", None),
    "Source": ("source", None),
    "Function": ("function", None),
    "int": ("int", None),
    "float": ("float", None),
    "str": ("str", None),
    "bool": ("bool", None),
    "dict": ("dict", None),
}
SHOWN = 200
"""Characters of a value that an error quotes."""
LISTS = ("str", "int", "float", "dict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One keyword option of a step."""

    name: str
    kind: str
    default: Any = None
    is_required: bool = False
    may_be_none: bool = False
    is_list: bool = False
    bounds: Range | None = None
    choices: tuple[Any, ...] = ()
    table: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Usual number, low and high of each name, where the option's kind is `table`."""

    def check(self, value: Any) -> Any:
        """The value in its canonical form (`2` of a float option is `2.0`).

        Raises:
            OptionError: wrong type, out of range, or not one of the choices.
        """
        if value is None:
            if self.may_be_none:
                return None
            raise OptionError(f"option `{self.name}` must be {self.wanted()}, not empty")
        if self.is_list:
            if not isinstance(value, list | tuple):
                raise OptionError(f"option `{self.name}` must be a list, not {shown(value)}")
            return self._check_named(value) if self.table else [self._check_one(item) for item in value]
        return self._check_one(value)

    def _check_one(self, value: Any) -> Any:
        if self.choices:
            if value not in self.choices:
                hint = nearest(shown(value).strip("'"), [str(choice) for choice in self.choices])
                raise OptionError(
                    f"option `{self.name}` must be {self.wanted()}, not {shown(value)}", hint=hint
                )
            return value
        given, value = value, _as_kind(self.kind, value)
        if value is None or (self.bounds and not _within(value, self.bounds)):
            raise OptionError(f"option `{self.name}` must be {self.wanted()}, not {shown(given)}")
        return value

    def _check_named(self, items: list[Any] | tuple[Any, ...]) -> list[dict[str, float]]:
        """`["flip", {"rotate": 15}]` as `[{"flip": 0.5}, {"rotate": 15.0}]`: each name with its number."""
        found: dict[str, float] = {}
        for item in items:
            pairs = item.items() if isinstance(item, dict) else [(item, None)]
            for name, number in pairs:
                if not isinstance(name, str) or name not in self.table:
                    raise OptionError(
                        f"unknown `{name if isinstance(name, str) else shown(name)}` in option `{self.name}`",
                        hint=nearest(shown(name), self.table),
                    )
                if name in found:
                    raise OptionError(f"`{name}` stands twice in option `{self.name}`")
                found[name] = self._number(name, number)
        return [{name: number} for name, number in found.items()]

    def _number(self, name: str, number: Any) -> float:
        usual, low, high = self.table[name]
        checked = float(usual) if number is None else _as_kind("float", number)
        if checked is None or not low <= checked <= high:
            raise OptionError(
                f"`{name}` in option `{self.name}` must be a number from {low:g} to {high:g}, "
                f"not {shown(number)}"
            )
        return checked

    def wanted(self) -> str:
        """What the option takes, in words."""
        if self.table:
            return "a list of " + ", ".join(self.table)
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        words = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false",
                 "dict": "a mapping", "net": "a net", "task": "a task", "source": "a data source",
                 "function": "a Python function or its `module:name`"}[self.kind]  # fmt: skip
        if self.bounds:
            low, high = self.bounds.low, self.bounds.high
            words += f" >= {low:g}" if low is not None and high is None else ""
            words += f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        return f"a list of {words.removeprefix('a ')}s" if self.is_list else words


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One value that a step takes: its name and the kinds it accepts."""

    name: str
    kinds: tuple[str, ...]
    may_be_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a step takes and returns, as its source says."""

    address: str
    caption: str
    doc: str
    values: tuple[Taken, ...]
    options: Mapping[str, Option]
    returns: tuple[str, ...]
    """Kinds of a single output; empty for a record."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Kinds of a record's fields; empty for a single output."""
    wants_run: bool = False
    splits: tuple[str, ...] | str = ("train", "validation")
    """Splits that the step opens, or the name of the option that says which."""
    without: Any = "auto"
    """What *without it* means: `identity`, the value that then stands in, by name, a mapping of neutral
    options, or None: not removable."""

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options, defaults included, in canonical form.

        Raises:
            OptionError: unknown, missing or invalid, with the nearest right thing.
        """
        for name in options:
            if name not in self.options:
                raise OptionError(
                    f"unknown option `{name}` of `{self.address}`", hint=nearest(name, self.options)
                )
        checked = {}
        for name, option in self.options.items():
            if name not in options and option.is_required:
                raise OptionError(f"`{self.address}` needs the option `{name}`: {option.wanted()}")
            checked[name] = option.check(options.get(name, option.default))
        return checked

    def removal(self) -> str | dict[str, Any] | None:
        """`identity`, the name of the value that stands in, neutral options, or None: not removable."""
        if self.without != "auto":
            return self.without
        kinds = {kind for taken in self.values for kind in taken.kinds}
        return "identity" if len(self.returns) == 1 and self.returns[0] in kinds else None

    def opens(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        return (options[self.splits],) if isinstance(self.splits, str) else self.splits


def _as_kind(kind: str, value: Any) -> Any:
    if isinstance(value, int) and abs(value) >= WHOLE:
        return None
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if isfinite(value) else None
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "function" and isinstance(value, str):
        return value if all(value.partition(":")) else None
    wanted = {"int": int, "bool": bool, "dict": dict, "float": float, "function": Callable}.get(kind, str)
    if isinstance(value, bool) and kind != "bool":
        return None
    if kind == "dict" and isinstance(value, dict) and not _is_json(value):
        return None
    return value if isinstance(value, wanted) else None  # type: ignore[arg-type]


def _is_json(thing: Any) -> bool:
    """Mappings with text keys, lists, finite numbers, texts: what a key can be made of."""
    if isinstance(thing, dict):
        return all(isinstance(key, str) and _is_json(part) for key, part in thing.items())
    if isinstance(thing, list | tuple):
        return all(_is_json(part) for part in thing)
    if isinstance(thing, int) and not isinstance(thing, bool):
        return abs(thing) < WHOLE
    return thing is None or isinstance(thing, str | bool) or (isinstance(thing, float) and isfinite(thing))


def shown(value: Any) -> str:
    """A value as an error quotes it: Python writes out no number of very many digits."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} of too many digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _within(value: float, bounds: Range) -> bool:
    return (bounds.low is None or value >= bounds.low) and (bounds.high is None or value <= bounds.high)
