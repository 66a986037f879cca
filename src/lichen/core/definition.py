"""definition: what the syntax of a function in memory says, found in its file or its notebook cell."""

from __future__ import annotations
import __future__

import ast
import copy
import linecache
import symtable
import types
from dataclasses import dataclass
from functools import lru_cache

from lichen.core import code, imports, loaded, syntax
from lichen.core.errors import UnkeyableError

FUTURE_FLAGS = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_texts: dict[str, str] = {}
"""The text of every file a function was found in: a script may be edited while it runs."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What the syntax of a function says, without the mark `@step`."""

    digest: str
    names: frozenset[str]
    """Taken from around it: globals, captured variables, decorators, defaults."""
    imports: tuple[str, ...]
    chains: tuple[str, ...]
    """Dotted names that it reads."""


def remember(fn: types.FunctionType) -> None:
    """Keeps the text of a function's file as it is now."""
    if text := _read(fn):
        _texts[fn.__code__.co_filename] = text


def is_readable(fn: types.FunctionType) -> bool:
    return bool(_texts.get(fn.__code__.co_filename) or _read(fn))


def of(fn: types.FunctionType, name: str) -> Definition:
    """The definition of a function in memory; of a lambda, all that begin on its line.

    Raises:
        UnkeyableError: it is not readable, or the file no longer defines the function that is in memory.
    """
    return _definition(_text(fn, name), fn.__code__.co_firstlineno)


@lru_cache(maxsize=1024)
def _definition(text: str, line: int) -> Definition:
    nodes: list[ast.stmt] = []
    for node in copy.deepcopy(_by_line(text).get(line, [])):
        if isinstance(node, ast.Lambda):
            nodes.append(ast.Expr(node))
        else:
            node.decorator_list = [one for one in node.decorator_list if not _is_step_mark(one)]
            nodes.append(node)
    tree = ast.Module(nodes, [])
    return Definition(names=frozenset(_names_in(tree)), imports=tuple(imports.of(tree, "__main__")),
                      chains=tuple(imports.chains(tree)), digest=code.normal(tree))  # fmt: skip


@lru_cache(maxsize=16)
def _by_line(text: str) -> dict[int, list[Function]]:
    """Functions by the line they begin on, decorators included."""
    found: dict[int, list[Function]] = {}
    for node in ast.walk(syntax.parse(text)):
        if isinstance(node, Function):
            above = [] if isinstance(node, ast.Lambda) else node.decorator_list
            found.setdefault(min([node.lineno, *(one.lineno for one in above)]), []).append(node)
    return found


def _text(fn: types.FunctionType, name: str) -> str:
    file, flags = fn.__code__.co_filename, fn.__code__.co_flags & FUTURE_FLAGS
    if not is_readable(fn):
        raise UnkeyableError(f"the source of `{name}` is not readable, so calls of it cannot be recorded",
                             hint="define it in a file or a notebook cell")  # fmt: skip
    if fn.__code__ not in loaded.codes(_texts.get(file, ""), file, flags):
        linecache.checkcache(file)
        remember(fn)
    if fn.__code__ not in loaded.codes(_texts[file], file, flags):
        raise UnkeyableError(
            f"the file of `{name}` changed after it was read, so this process runs older code",
            where=f"{file}:{fn.__code__.co_firstlineno}",
            hint="run it again",
        )
    return _texts[file]


def _read(fn: types.FunctionType) -> str:
    return "".join(linecache.getlines(fn.__code__.co_filename, fn.__globals__))


def _is_step_mark(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(target).rpartition(".")[2] == "step"


class _Bare(ast.NodeTransformer):
    """Takes annotations off: their names decide nothing."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _names_in(definition: ast.Module) -> set[str]:
    bare = _Bare().visit(syntax.parse(ast.unparse(ast.fix_missing_locations(definition))))
    whole = symtable.symtable(ast.unparse(bare), "<source>", "exec")
    tables, found = [whole], set()
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        found |= {symbol.get_name() for symbol in table.get_symbols()
                  if symbol.is_referenced() and (symbol.is_global() or table is whole)}  # fmt: skip
    return found
