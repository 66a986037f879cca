"""override: a recipe with `dotted.key=value` changes from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lichen.core import recipefile
from lichen.core.errors import OptionError, RecipeError, nearest
from lichen.core.recipe import HEADS, Line, Recipe, is_reference


def override(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with `dotted.key=value` changes: `train.epochs=20`, `data=mnist`, `teacher.net=resnet56`.

    A key's first part is a label, a step's short name or its whole address; all steps that match change.

    Raises:
        OptionError: not of that form, or nothing matches.
    """
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise OptionError(f"`{change}` must be `key=value`", hint="as in train.epochs=20")
        try:
            value = recipefile.plain(text, " ".join(change.split()))
        except RecipeError:
            raise OptionError(f"the value of `{change}` cannot be read", hint="put it in quotes") from None
        recipe = _override(recipe, key.strip(), value, " ".join(change.split()))
    return recipe


def _override(recipe: Recipe, key: str, value: Any, change: str) -> Recipe:
    if key == "name":
        return replace(recipe, name=str(value))
    head, dot, option = (key, ".", HEADS[key][1]) if key in HEADS else key.rpartition(".")
    if not dot:
        raise OptionError(f"`{key}` must name a step and its option", hint="as in train.epochs=20")
    known: set[str] = set()
    hits = 0

    def changed(line: Line) -> Line:
        nonlocal hits
        names = {
            line.label,
            line.step,
            line.step.rpartition(":")[2].rpartition(".")[2],
            *(name for name, (step, _) in HEADS.items() if line.step == step),
        } - {None}
        known.update(str(name) for name in names)
        if head not in names:
            return line
        hits += 1
        line = replace(line, where=f"{line.where}\t{option}={change}")
        if is_reference(value):
            return replace(line, values={**line.values, option: value})
        return replace(line, options={**line.options, option: value})

    recipe = replace(
        recipe, lines=tuple(map(changed, recipe.lines)), studies=tuple(map(changed, recipe.studies))
    )
    if not hits:
        raise OptionError(f"no step `{head}` to set `{option}` of", where=change, hint=nearest(head, known))
    return recipe
