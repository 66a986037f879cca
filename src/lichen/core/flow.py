"""flow: what flows from line to line of a recipe, checked against signatures before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from lichen.core import signature
from lichen.core.errors import LichenError, OptionError, RecipeError, nearest
from lichen.core.names import PATTERN
from lichen.core.recipe import Line, Recipe, position, settled
from lichen.core.schema import Signature


def check(recipe: Recipe) -> list[Signature]:
    """Checks every line: steps, options, references and the types that flow; nothing is run or imported.

    Returns:
        The signature of every line.

    Raises:
        RecipeError: with position and the nearest right thing.
    """
    if not PATTERN.fullmatch(recipe.name):
        raise RecipeError(
            f"the life cannot be named {ascii(recipe.name)[:120]}",
            where=position(recipe.lines[0]) if recipe.lines else None,
            hint="give it `name:` of letters, digits, . _ - and one @, as in digits@prod",
        )
    current: dict[str, str | None] = {"data": None, "model": None, "environment": None}
    named: dict[str, dict[str, str]] = {}
    signatures = []
    for line in recipe.lines:
        read = _signature("steps", line)
        line = settled(line, read)
        _check_options(read, line)
        for taken in read.values:
            given = line.values.get(taken.name)
            kind = None
            if given:
                kind = _referred(given, named, line)
            elif not taken.may_be_none:
                kind = _current(current, taken.kinds)
            if kind is None and not taken.may_be_none:
                wanted = " or ".join(taken.kinds)
                raise RecipeError(
                    f"`{line.step}` needs a {wanted} for `{taken.name}` and the life has none here",
                    where=position(line),
                )
            if kind not in (None, "any") and not set(str(kind).split("|")) & set(taken.kinds):
                before = "a step before it returned one" if not given else f"`{given}` is one"
                raise RecipeError(
                    f"`{line.step}` takes a {' or '.join(taken.kinds)} for `{taken.name}`, "
                    f"not a {kind}: {before}",
                    where=position(line, taken.name),
                    hint="move it before that step, or give it `$name`",
                )
        _flow(current, read)
        if line.label:
            if line.label in named:
                raise RecipeError(f"`as: {line.label}` stands twice", where=position(line))
            named[line.label] = dict(read.fields) or {"": "|".join(read.returns) or "any"}
        signatures.append(read)
    for line in recipe.studies:
        _check_study(line, named)
    return signatures


def _check_study(line: Line, named: Mapping[str, Mapping[str, str]]) -> None:
    """A study takes what the life ends with, unless its first value is named."""
    read = _signature("studies", line)
    line = settled(line, read)
    _check_options(read, line)
    for taken in read.values[1:]:
        if taken.name not in line.values and not taken.may_be_none:
            raise RecipeError(f"`{line.step}` needs a value for `{taken.name}`", where=position(line),
                              hint=f"{taken.name}: $name")  # fmt: skip
    for given in line.values.values():
        _referred(given, named, line)


def _signature(shelf: str, line: Line) -> Signature:
    try:
        return signature.of(shelf, line.step)
    except LichenError as error:
        raise RecipeError(error.message, where=position(line), hint=error.hint) from None


def _check_options(read: Signature, line: Line) -> None:
    for name in (*line.options, *line.values):
        if name not in read.options and name not in [taken.name for taken in read.values]:
            known = [*read.options, *(taken.name for taken in read.values)]
            raise RecipeError(f"unknown option `{name}` of step `{line.step}`", where=position(line, name),
                              hint=nearest(name, known))  # fmt: skip
    for name, value in line.options.items():
        if name not in read.options:
            raise RecipeError(
                f"`{name}` of `{line.step}` is a value: give it as `$name`", where=position(line, name)
            )
        try:
            read.options[name].check(value)
        except OptionError as error:
            raise RecipeError(f"{error.message} (step `{line.step}`)", where=position(line, name),
                              hint=error.hint) from None  # fmt: skip
    for name, option in read.options.items():
        if option.is_required and name not in line.options:
            raise RecipeError(
                f"`{line.step}` needs the option `{name}`: {option.wanted()}", where=position(line)
            )


def _referred(reference: str, named: Mapping[str, Mapping[str, str]], line: Line) -> str:
    name, _, part = reference.removeprefix("$").partition(".")
    if name not in named:
        return "any"  # a value of the store; looked up when the life runs
    if part not in named[name]:
        raise RecipeError(
            f"`${name}` has no field `{part}`" if part else f"`${name}` needs one of its fields",
            where=position(line),
            hint=nearest(part, named[name]),
        )
    return named[name][part]


def slot(kind: str) -> str | None:
    """Where the chain keeps a kind (`Model` or `model`): Scores are kept nowhere."""
    places = {"dataset": "data", "model": "model", "program": "model", "environment": "environment"}
    return places.get(kind.lower())


def kept_field(kinds: Mapping[str, str]) -> str | None:
    """The field of an output that becomes current: the only one, or a record's first Model or Program."""
    if len(kinds) == 1:
        return next((name for name, kind in kinds.items() if slot(kind)), None)
    return next((name for name, kind in kinds.items() if slot(kind) == "model"), None)


def _current(current: Mapping[str, str | None], kinds: tuple[str, ...]) -> str | None:
    return next((current[place] for kind in kinds if (place := slot(kind)) and current[place]), None)


def _flow(current: dict[str, str | None], read: Signature) -> None:
    name = kept_field(read.fields)
    kinds = read.returns or (() if name is None else (read.fields[name],))
    for place in {slot(kind) for kind in kinds} - {None}:
        current[str(place)] = "|".join(kind for kind in kinds if slot(kind) == place)
