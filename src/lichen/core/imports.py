"""imports: the modules that a piece of source may import, read off its syntax alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from lichen.core import find
from lichen.core.door import FACES, VERBS
from lichen.core.errors import UnkeyableError

IMPORTERS = {"import_module": True, "__import__": True, "spec_from_file_location": False, "run_path": False,
             "run_module": False}  # fmt: skip
"""Functions that import by string, and whether a literal first argument says what."""


def of(tree: ast.AST, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Every module that a tree may import, by its syntax alone; `a.*` and `a.**` stand for all below `a`.

    Raises:
        UnkeyableError: an import of a name that is computed while running.
    """
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                top = alias.name.partition(".")[0]
                aliases[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            start = _relative(node.level, node.module or "", module, is_package)
            for alias in node.names:
                yield f"{start}.{alias.name}"
                aliases[alias.asname or alias.name] = f"{start}.{alias.name}"
        elif isinstance(node, ast.Call):
            yield from _by_string(node, module, is_package)
    yield from through(chains(tree), aliases)


def _relative(level: int, name: str, module: str, is_package: bool) -> str:
    return find.absolute(level, name, module if is_package else module.rpartition(".")[0])


def _by_string(node: ast.Call, module: str, is_package: bool) -> Iterator[str]:
    """`import_module("a.b")`; a name computed inside a package may be all of that package."""
    called = ast.unparse(node.func).rpartition(".")[2]
    if called not in IMPORTERS or not node.args:
        return
    name, top = node.args[0], module.partition(".")[0]
    if isinstance(name, ast.Constant) and isinstance(name.value, str) and IMPORTERS[called]:
        bare = name.value.lstrip(".")
        yield _relative(len(name.value) - len(bare), bare, module, is_package)
    elif is_package or "." in module:
        yield f"{top}.**" if top != "lichen" else top
    else:
        raise UnkeyableError(
            f"`{module}` imports a module whose name is not written out, so its code cannot be known",
            where=f"line {node.lineno}", hint='write the name: import_module("package.module")',
        )  # fmt: skip


def chains(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a tree reads, each as long as it goes: `package.module.f`, `li.adapt.lora`."""
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            inner.add(id(node.value))
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner and (chain := _dotted(node)):
            yield chain


def through(chains: Iterable[str], aliases: Mapping[str, str]) -> Iterator[str]:
    """The modules that dotted names lead to, by what their first part stands for."""
    for chain in chains:
        root, *rest = chain.split(".")
        if root in aliases:
            address = ".".join([aliases[root], *rest])
            yield from through_door(address) if f"{address}.".startswith("lichen.") else [address]


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def through_door(address: str) -> Iterator[str]:
    """The modules that a name of lichen's face leads to; a stage alone is all of its steps."""
    yield from find.BEHIND_VALUES
    name, _, rest = address.removeprefix("lichen").removeprefix(".").partition(".")
    if name in VERBS:
        yield f"lichen.steps.{VERBS[name]}"
    elif name in FACES:
        yield f"lichen.{FACES[name]}"
    elif name:
        yield address
        yield f"lichen.steps.{name}.{rest.partition('.')[0] or '*'}"
