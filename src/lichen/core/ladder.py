"""ladder: how far steps of one stage can be asked to go, as their files say.

A step's file may hold a literal `LADDER = {option: [values, weakest first]}`. A study climbs it: it calls the
step with every combination until too much is lost. A step without one is never tried.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lichen.core import find, signature
from lichen.core.schema import Signature
from lichen.core.value import Value

Options = Mapping[str, Any]
CLOSE = 1.1
"""Rungs nearer than this ratio have nothing between them worth a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """A step and the options to call it with, weakest first."""

    step: str
    rungs: tuple[Options, ...]

    @property
    def signature(self) -> Signature:
        return signature.of("steps", self.step)

    def neutral(self) -> list[Options]:
        """The rungs that leave a value as it is but for its form: the step's own `without`."""
        removal = self.signature.removal()
        if not isinstance(removal, Mapping):
            return []
        return [
            rung for rung in self.rungs if all(rung.get(name) == given for name, given in removal.items())
        ]

    def between(self, weak: Options | None, strong: Options) -> Options | None:
        """The rung in the middle of two, by ratio, where one number says how strong it is; else None.

        Args:
            weak: None: below the first rung.
        """
        numbers = [name for name, value in strong.items() if isinstance(value, float)]
        if len(numbers) != 1:
            return None
        name, high = numbers[0], strong[numbers[0]]
        bounds = self.signature.options[name].bounds
        low = weak[name] if weak else bounds.low if bounds else None
        if not isinstance(low, float) or not isinstance(high, float) or not 0 < CLOSE * low < high:
            return None
        return {**strong, name: round(math.sqrt(low * high), 2)}


def of_stage(stage: str, returns: str) -> list[Ladder]:
    """The ladders of a stage's steps that take a Model, and Datasets if any, and return one kind of value."""
    found = [Ladder(step=address, rungs=rungs_of(find.literal(path, "LADDER")))
             for address, path in find.shelf("steps").items() if address.startswith(f"{stage}.")]  # fmt: skip
    return [one for one in found if one.rungs and _is_of(one.signature, returns)]


def rungs_of(told: Mapping[str, Any]) -> tuple[Options, ...]:
    """Every combination of a literal ladder, the last option varying fastest."""
    return tuple(dict(zip(told, values, strict=True)) for values in itertools.product(*told.values()) if told)


def _is_of(read: Signature, returns: str) -> bool:
    needed = [taken.kinds for taken in read.values if not taken.may_be_none]
    return read.returns == (returns,) and bool(needed) and "Model" in needed[0] and needed[1:] in (
        [], [("Dataset",)])  # fmt: skip


def values_for(read: Signature, model: Value, data: Value) -> dict[str, Value | None]:
    """What a step of a ladder takes: the model first, then the data; what may be left out is."""
    given = iter((model, data))
    return {taken.name: None if taken.may_be_none else next(given) for taken in read.values}
