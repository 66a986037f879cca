"""life: runs a recipe as step calls, and writes the calls behind a value as a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lichen.core import calling, flow, signature, step
from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import LichenError, NotFoundError, RecipeError, nearest
from lichen.core.flow import kept_field, slot
from lichen.core.lineage import ONLY, Call, Made, Ref
from lichen.core.recipe import Line, Recipe, position, settled
from lichen.core.session import Session
from lichen.core.signature import Signature, Taken
from lichen.core.value import Value


@dataclass(slots=True)
class Chain:
    """The current values of a running life and those that `as:` named."""

    current: dict[str, Value] = field(default_factory=dict)
    named: dict[str, Any] = field(default_factory=dict)

    def take(self, kinds: tuple[str, ...]) -> Value | None:
        return next((self.current[place] for kind in kinds if (place := slot(kind)) in self.current), None)

    def ground(self) -> Dataset | Environment | None:
        """What values are judged on: the environment, where there is one, else the data."""
        found = self.current.get("environment") or self.current.get("data")
        return found if isinstance(found, Dataset | Environment) else None

    def give(self, result: Any, label: str | None) -> None:
        """Keeps the output that becomes current, and all of it under a label."""
        fields = fields_of(result)
        name = kept_field({name: value.kind for name, value in fields.items()})
        if name is not None:
            self.current[str(slot(fields[name].kind))] = fields[name]
        if label:
            self.named[label] = fields

    def refer(self, reference: str, session: Session) -> Value:
        """`$name`, `$name.field`, or a name or digest of the store."""
        name, _, part = reference.removeprefix("$").partition(".")
        if name in self.named:
            return self.named[name][part]
        if session.store is None:
            raise NotFoundError(f"nothing is called `${name}` here")
        return session.store.resolve(reference.removeprefix("$"))


def fields_of(result: Any) -> dict[str, Value]:
    """A step's result by field; a single value under the empty name."""
    if isinstance(result, Value):
        return {ONLY: result}
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def run(recipe: Recipe, session: Session, after: Callable[[Line, Any, Chain], None] | None = None) -> Chain:
    """Runs every line of a checked recipe.

    Args:
        after: called with each line, its result and the chain: the life table is drawn from there.

    Raises:
        LichenError: of a step, with the line it stands on.
    """
    flow.check(recipe)
    chain = Chain()
    for line in recipe.lines:
        one = step.by_address(line.step)
        line = settled(line, one.signature)
        values: dict[str, Value | None] = {}
        for taken in one.signature.values:
            if given := line.values.get(taken.name):
                values[taken.name] = referred(given, chain, session, position(line, taken.name))
            else:
                values[taken.name] = None if taken.may_be_none else chain.take(taken.kinds)
        try:
            checked = calling.bind(one.signature, (), values)
            result = calling.execute(one, checked, line.options, session)
        except LichenError as error:
            raise error.at(position(line)) from error.__cause__
        chain.give(result, line.label)
        if after:
            after(line, result, chain)
    return chain


def referred(reference: str, chain: Chain, session: Session, where: str) -> Value:
    """What a line refers to.

    Raises:
        NotFoundError: nothing above it and nothing in the store is called so.
    """
    try:
        return chain.refer(reference, session)
    except NotFoundError as error:
        labels = [f"${label}" for label in chain.named]
        raise NotFoundError(
            f"nothing is called `{reference}`: no line above says `as:` so, and no value of the store "
            "has that name",
            where=where,
            hint=nearest(reference, labels) or error.hint,
        ) from None


def of(value: Value, name: str = "life") -> Recipe:
    """The recipe of the calls behind a value: run again, it resolves to the same digest.

    Raises:
        RecipeError: the value was not made by recorded steps.
    """
    if value.made is None:
        raise RecipeError(f"{value!r} was not made by recorded steps, so there is no recipe of it")
    return of_call(value.made.call, name)


def of_call(call: Call, name: str = "life") -> Recipe:
    """The recipe of a call and everything behind it."""
    history = call.history()
    writer = _Writer({one.id: one for one in history})
    return Recipe(name=name, lines=tuple(writer.lines(history)))


def _signature(step: str) -> Signature | None:
    """None of a step whose code is no longer here: what was recorded is then told whole."""
    try:
        return signature.of("steps", step)
    except NotFoundError:
        return None


def given(call: Call) -> dict[str, Any]:
    """The options of a call that were said."""
    return _options(call, _signature(call.step))


def _options(call: Call, read: Signature | None) -> dict[str, Any]:
    """Those that are not what they are when nothing is said."""
    if read is None:
        return dict(call.options)
    return {
        name: call.options[name]
        for name, option in read.options.items()
        if name in call.options and (option.is_required or call.options[name] != option.default)
    }


class _Writer:
    """Follows the chain rule, and names a value where the rule would pick another."""

    def __init__(self, calls: Mapping[str, Call]) -> None:
        self.calls = calls
        self.labels: dict[str, str] = {}

    def lines(self, history: list[Call]) -> list[Line]:
        plans = []
        current: dict[str, tuple[str, str]] = {}
        for call in history:
            read = _signature(call.step)
            taken = {one.name: one for one in read.values} if read else {}
            values = {}
            for name in sorted(call.inputs, key=[*taken, *call.inputs].index):
                ref = call.inputs[name]
                if name not in taken or not self._is_implied(taken[name], ref, current):
                    values[name] = self._reference(ref.made) if ref.made else f"${ref.digest[:16]}"
            self._flow(current, call)
            plans.append((call, _options(call, read), values))
        return [Line(step=call.step, options=options, values=values, label=self.labels.get(call.id))
                for call, options, values in plans]  # fmt: skip

    def _is_implied(self, taken: Taken, ref: Ref, current: Mapping[str, tuple[str, str]]) -> bool:
        """Whether the chain rule hands over just this value."""
        places = [str(place) for kind in taken.kinds if (place := slot(kind)) in current]
        return bool(
            ref.made and places and not taken.may_be_none
            and current[places[0]] == (ref.made.call.id, ref.made.field)
        )  # fmt: skip

    def _flow(self, current: dict[str, tuple[str, str]], call: Call) -> None:
        name = kept_field(call.kinds)
        if name is not None:
            current[str(slot(call.kinds[name]))] = (call.id, name)

    def _reference(self, made: Made) -> str:
        if made.call.id not in self.labels:
            stem = made.call.step.rpartition(":")[2].rpartition(".")[2]
            taken = set(self.labels.values())
            names = [stem, *(f"{stem}{number}" for number in range(2, 10_000))]
            self.labels[made.call.id] = next(label for label in names if label not in taken)
        return f"${self.labels[made.call.id]}" + (f".{made.field}" if made.field else "")
