"""recipefile: recipes as YAML, read with positions and written back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lichen.core.errors import MachineError, NotFoundError, RecipeError, UnsafeInputError, nearest
from lichen.core.recipe import HEADS, Line, Recipe, is_reference
from lichen.core.schema import WHOLE

VERSION = 1
HEADERS = ("lichen", "name", *HEADS, "steps", "studies")
LIMIT_BYTES = 1 << 16
"""A hundred times a long life; YAML of a megabyte takes half a minute to read."""


def read(path: str | Path) -> Recipe:
    """The recipe of a file.

    Raises:
        NotFoundError: no such file.
        RecipeError: it is not a valid recipe; with file and line.
    """
    path = Path(path)
    if path.is_dir():
        raise NotFoundError(
            f"`{path}` is a folder; a recipe is a YAML file", hint=_near_file(path / "recipe.yaml")
        )
    if not path.is_file():
        raise NotFoundError(f"no recipe `{path}`", hint=_near_file(path))
    if path.stat().st_size > LIMIT_BYTES:
        raise UnsafeInputError("a recipe is at most 64 kB", where=str(path))
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except OSError as error:
        raise MachineError(f"the recipe cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"a recipe is UTF-8 text: {error.reason}", where=str(path)) from None


def _near_file(path: Path) -> str | None:
    found = [str(other) for folder in (path.parent, Path("recipes")) if folder.is_dir()
             for other in folder.glob("*.y*ml")]  # fmt: skip
    return nearest(str(path), found)


def parse(text: str, source: str = "recipe") -> Recipe:
    """The recipe of a YAML text."""
    if len(text) > LIMIT_BYTES:
        raise UnsafeInputError("a recipe is at most 64 kB", where=source)
    try:
        node = yaml.compose(text, Loader=Loader)
        if any(token in text for token in ("&", "*", "!")):
            _refuse_anchors(text, source)
    except (yaml.YAMLError, RecursionError) as error:
        raise _not_yaml(error, source) from None
    if node is None:
        raise RecipeError("the recipe is empty", where=source, hint="lichen new FOLDER writes one")
    return _Reader(source).recipe(node)


def plain(text: str, source: str) -> Any:
    """The plain thing that a short YAML text says: numbers, texts, lists and mappings; no tags, no anchors.

    Raises:
        RecipeError: it cannot be read.
        UnsafeInputError: it has tags or anchors, or is too long.
    """
    if len(text) > LIMIT_BYTES:
        raise UnsafeInputError("a value is at most 64 kB", where=source)
    try:
        node = yaml.compose(text, Loader=Loader)
        _refuse_anchors(text, source)
    except (yaml.YAMLError, RecursionError) as error:
        raise _not_yaml(error, source) from None
    return None if node is None else _Reader(source).plain(node)


class Loader(yaml.SafeLoader):
    """Reads `1e-3` as a number, as YAML 1.2 does; 1.1 takes it for a text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _not_yaml(error: Exception, source: str) -> RecipeError:
    mark, began = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error).partition("\n")[0]
    if isinstance(error, RecursionError):
        problem = "it is nested too deeply"
    hint = None
    if "'\\t'" in problem:
        hint = "indent with spaces, not with tabs"
    elif mark and began and began.line != mark.line:
        what = str(getattr(error, "context", "")).removeprefix("while ")
        hint = f"{what} that begins on line {began.line + 1}"
    return RecipeError(
        f"this is not YAML: {problem}", where=f"{source}:{mark.line + 1}" if mark else source, hint=hint
    )


def _refuse_anchors(text: str, source: str) -> None:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        what = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            what = "anchors and aliases"
        elif getattr(event, "tag", None):
            what = "tags"
        if what:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise UnsafeInputError(f"{what} are not allowed in a recipe", where=f"{source}:{line}")


class _Reader:
    """Turns YAML nodes into lines, keeping positions."""

    def __init__(self, source: str) -> None:
        self.source = source

    def at(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}"

    def plain(self, node: yaml.Node) -> Any:
        self._check_keys(node)
        try:
            thing = yaml.SafeLoader("").construct_document(node)
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            said = getattr(error, "problem", None) or error
            raise RecipeError(f"this cannot be read: {said}", where=self.at(node)) from None
        if isinstance(thing, int) and abs(thing) >= WHOLE:
            raise RecipeError("a whole number must be below 2^63", where=self.at(node))
        return thing

    def _check_keys(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            for _, _, value in self.pairs(node, "a mapping"):
                self._check_keys(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._check_keys(item)

    def pairs(self, node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise RecipeError(f"{what} must be a mapping", where=self.at(node))
        seen = set()
        for key, value in node.value:
            name = str(self.plain(key))
            if name in seen:
                raise RecipeError(f"`{name}` stands twice in {what}", where=self.at(key))
            seen.add(name)
            yield name, key, value

    def recipe(self, node: yaml.Node) -> Recipe:
        parts: dict[str, yaml.Node] = {}
        for name, key, value in self.pairs(node, "a recipe"):
            if name not in HEADERS:
                raise RecipeError(
                    f"unknown key `{name}` of a recipe", where=self.at(key), hint=nearest(name, HEADERS)
                )
            parts[name] = value
        self._check_version(node, parts)
        lines = [self._head(name, parts[name]) for name in HEADS if name in parts]
        steps, studies = (
            self._lines(parts.get("steps"), "steps"),
            self._lines(parts.get("studies"), "studies"),
        )
        name = str(self.plain(parts["name"])) if "name" in parts else Path(self.source).stem
        return Recipe(name=name, lines=(*lines, *steps), studies=tuple(studies))

    def _check_version(self, node: yaml.Node, parts: Mapping[str, yaml.Node]) -> None:
        version = self.plain(parts["lichen"]) if "lichen" in parts else None
        if version != VERSION:
            said = f"not {version!r}" if "lichen" in parts else "and it is missing"
            raise RecipeError(f"a recipe begins with `lichen: {VERSION}`, {said}", where=self.at(node))

    def _head(self, name: str, node: yaml.Node) -> Line:
        step, first = HEADS[name]
        article = "an" if first == "id" else "a"
        options = self.plain(node)
        if isinstance(options, str):
            options = {first: options}
        if not isinstance(options, dict):
            raise RecipeError(
                f"`{name}` is {article} {first} or a mapping of options of {step}", where=self.at(node)
            )
        options = {str(option): given for option, given in options.items()}
        label = self._label(options.pop("as", None), node)
        return Line(step=step, options=options, label=label, where=self.at(node))

    def _label(self, given: Any, node: yaml.Node) -> str | None:
        if given is not None and not isinstance(given, str | int):
            raise RecipeError("`as:` must be a name", where=self.at(node))
        return None if given is None else str(given)

    def _lines(self, node: yaml.Node | None, what: str) -> list[Line]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise RecipeError(f"`{what}` must be a list", where=self.at(node))
        return [self._line(item) for item in node.value]

    def _line(self, node: yaml.Node) -> Line:
        if isinstance(node, yaml.ScalarNode):
            return Line(step=str(self.plain(node)), where=self.at(node))
        pairs = list(self.pairs(node, "a step"))
        label = next((str(self.plain(value)) for name, _, value in pairs if name == "as"), None)
        named = [(name, key, value) for name, key, value in pairs if name != "as"]
        if len(named) != 1:
            raise RecipeError(
                "a step is one name with its options, and perhaps `as:`",
                where=self.at(node),
                hint=f"indent its options below `{named[0][0]}`" if named else None,
            )
        name, key, value = named[0]
        options = self.plain(value)
        if not isinstance(options, dict | None):
            hint = "put a space after the colon" if ":{" in name else f"{name}: {{option: value}}"
            raise RecipeError(f"the options of `{name}` must be a mapping", where=self.at(value), hint=hint)
        options = {str(option): given for option, given in (options or {}).items()}
        label = self._label(options.pop("as", label), value)
        values = {option: given for option, given in options.items() if is_reference(given)}
        rest = {option: given for option, given in options.items() if option not in values}
        return Line(step=name, options=rest, values=values, label=label, where=self._option_lines(key, value))

    def _option_lines(self, key: yaml.Node, value: yaml.Node) -> str:
        """The step's position; those of its options follow after a tab, for the checker."""
        lines = {str(self.plain(k)): k.start_mark.line + 1 for k, _ in value.value} if isinstance(
            value, yaml.MappingNode) else {}  # fmt: skip
        return "\t".join([self.at(key), *(f"{name}={line}" for name, line in lines.items())])


def dump(recipe: Recipe) -> str:
    """The recipe as YAML; reading it back gives the same recipe."""
    lines = list(recipe.lines)
    parts: dict[str, Any] = {"lichen": VERSION, "name": recipe.name}
    for name, (step, only) in HEADS.items():
        if lines and lines[0].step == step and not lines[0].values:
            first = lines.pop(0)
            options = {**first.options, **({"as": first.label} if first.label else {})}
            parts[name] = options[only] if set(options) == {only} else options
    parts["steps"] = [_plain(line) for line in lines]
    if recipe.studies:
        parts["studies"] = [_plain(line) for line in recipe.studies]
    return yaml.safe_dump(parts, sort_keys=False, default_flow_style=None, width=110)


def _plain(line: Line) -> dict[str, Any]:
    options = {**line.options, **line.values}
    return {line.step: options, **({"as": line.label} if line.label else {})}
