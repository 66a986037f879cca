"""loaded: a key speaks of the code in memory, not of what its file has become since it was imported.

A notebook edits a helper and forgets to reload it; a script is edited while it trains. What such a process
runs is the older code, so that is what its keys are made of: each module counts as it was when this process
first met it. `importlib.reload` makes it a new acquaintance.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, TypeVar

from lichen.core import find, syntax
from lichen.core.errors import UnkeyableError

Mark = TypeVar("Mark")
_met: dict[str, tuple[Any, Any]] = {}
"""The spec of every imported module and package met, another one after a reload, and what was read of it."""
_reloaded: set[str] = set()
_outdated: dict[str, Any] = {}
"""Modules whose files have moved on."""


def pinned(name: str, mark: Mark, path: Path | None = None) -> Mark:
    """What counts for a module or package: what was read when it was met, or what was read now.

    Args:
        path: its source, when it is a user's own: then it is compared with the functions in memory.

    Raises:
        UnkeyableError: it changed between its import and now, when it is first met.
    """
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if module is None or spec is None:
        return mark
    if name not in _met or _met[name][0] is not spec:
        if path is not None:
            _verify(name, module, path)
        if name in _met:
            _reloaded.add(name)
        _met[name] = (spec, mark)
        _outdated.pop(name, None)
    elif _met[name][1] != mark:
        _outdated[name] = mark
    else:
        _outdated.pop(name, None)
    return _met[name][1]


def outdated() -> list[str]:
    """Modules and packages that changed on disk while this process goes on with what it imported."""
    return sorted(_outdated)


def _verify(name: str, module: types.ModuleType, path: Path) -> None:
    if type(module.__spec__ and module.__spec__.loader) is not SourceFileLoader:
        return  # an import hook made other code of it, as pytest does of tests
    held = [thing.__code__ for thing in vars(module).values()
            if isinstance(thing, types.FunctionType) and thing.__module__ == name
            and thing.__code__.co_filename == str(path)]  # fmt: skip
    if held and not set(held) <= codes(path.read_text(encoding="utf-8"), str(path)):
        raise UnkeyableError(
            f"`{name}` changed after it was imported, so this process runs older code",
            where=str(path),
            hint=f"importlib.reload({name}), or restart Python",
        )


@lru_cache(maxsize=64)
def codes(text: str, file: str, flags: int = 0) -> frozenset[types.CodeType]:
    """Every code object that a source text compiles to; none where it does not."""
    try:
        whole = compile(
            text, file, "exec", flags=flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True, optimize=-1
        )
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(_inside(whole))


def _inside(whole: types.CodeType) -> Iterator[types.CodeType]:
    yield whole
    for part in whole.co_consts:
        if isinstance(part, types.CodeType):
            yield from _inside(part)


def check_names(modules: Iterable[str]) -> None:
    """`from other import thing` copies the thing; reloading `other` alone leaves the old one in place.

    Raises:
        UnkeyableError: a module holds such a thing.
    """
    for name in modules if _reloaded else ():
        module = sys.modules.get(name)
        path = find.source_of(name) if module is not None else None
        if module is not None and path is not None:
            for node in _at_import(syntax.parse(path.read_bytes())):
                _check_import(name, module, node, path)


def _check_import(name: str, module: types.ModuleType, node: ast.ImportFrom, path: Path) -> None:
    origin = find.absolute(node.level, node.module or "", module.__package__ or "")
    other = sys.modules.get(origin) if origin in _reloaded else None
    for alias in node.names if other else ():
        held, now = vars(module).get(alias.asname or alias.name), vars(other).get(alias.name)
        if held is not None and now is not None and not is_same(held, now):
            raise UnkeyableError(
                f"`{name}` still holds the `{alias.name}` from before `{origin}` was reloaded",
                where=f"{path}:{node.lineno}", hint=f"importlib.reload({name}) as well",
            )  # fmt: skip


def _at_import(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """The `from` imports that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _at_import(node)


def is_same(held: Any, now: Any) -> bool:
    """Whether an imported thing does what its module's does now; `%autoreload` patches functions in place."""
    if held is now:
        return True
    if isinstance(held, types.FunctionType) and isinstance(now, types.FunctionType):
        return held.__code__ == now.__code__ and held.__globals__ is now.__globals__
    return type(held) is type(now) and isinstance(held, bool | int | float | str | bytes) and held == now
