"""signature: reads the schema of a step or study off its syntax tree, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lichen.core import find, syntax
from lichen.core.errors import NotFoundError, OptionError, nearest
from lichen.core.schema import ALIASES, LISTS, VALUES, Option, Range, Signature, Taken


def of(shelf: str, address: str) -> Signature:
    """The signature of a step or study by its address.

    Raises:
        NotFoundError: nothing has that address.
    """
    if ":" in address:
        return _of_users(address)
    module = find.module_of(shelf, address)
    path = find.source_of(module)
    if path is None:
        raise NotFoundError(f"the source of `{module}` is not readable")
    return _of_file(path.read_bytes(), path.name, address)


@lru_cache(maxsize=512)
def _of_file(source: bytes, file_name: str, address: str) -> Signature:
    tree = syntax.parse(source)
    name = address.rpartition(":")[2].rpartition(".")[2]
    node = function_in(tree, name)
    if node is None:
        raise NotFoundError(f"{file_name} must define a function `{name}`, named as the file")
    caption = (ast.get_docstring(tree) or "").split("\n")[0].partition(": ")[2].rstrip(".")
    return read(node, address=address, caption=caption, records=classes_in(tree))


def _of_users(address: str) -> Signature:
    """A user's `module:name`: by its file; one that lives only in a session is found where it registered."""
    from lichen.core import step

    if address in step.REGISTERED:
        return step.REGISTERED[address].signature
    module = address.partition(":")[0]
    path = find.source_of(module)
    if path is None:
        raise NotFoundError(
            f"module `{module}` does not exist", hint="is its folder beside the recipe in `units/`?"
        )
    return _of_file(path.read_bytes(), path.name, address)


def function_in(tree: ast.AST, name: str) -> ast.FunctionDef | None:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    return None


def classes_in(tree: ast.AST) -> dict[str, dict[str, str]]:
    """The value fields of every class of a file, by class name."""
    return {
        node.name: {
            item.target.id: ast.unparse(item.annotation)
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        for node in ast.iter_child_nodes(tree)
        if isinstance(node, ast.ClassDef)
    }


def read(
    node: ast.FunctionDef, *, address: str, caption: str = "", records: Mapping[str, Mapping[str, str]]
) -> Signature:
    """The signature of one function definition.

    Args:
        records: value fields of the classes that the return annotation may name.

    Raises:
        OptionError: the definition leaves the closed vocabulary; names the parameter.
    """
    arguments = node.args
    if arguments.vararg or arguments.kwarg:
        raise OptionError(f"step `{address}` must name its options: no *args or **kwargs")
    taken = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(taken) - len(arguments.defaults)) + list(arguments.defaults)
    values = tuple(_value(address, arg, default) for arg, default in zip(taken, defaults, strict=True))
    options, wants_run = {}, False
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if arg.annotation is not None and ast.unparse(arg.annotation).split(".")[-1] in ("Run", "Run | None"):
            wants_run = True
        else:
            options[arg.arg] = _option(address, arg, default)
    returns, fields = _returns(address, node, records)
    doc = ast.get_docstring(node) or ""
    return Signature(
        address=address,
        caption=caption or doc.split("\n")[0].rstrip("."),
        doc=doc,
        values=values,
        options=options,
        returns=returns,
        fields=fields,
        wants_run=wants_run,
        **_marks(node),
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(part.strip().split(".")[-1] for part in text.split("|"))


def _value(address: str, arg: ast.arg, default: ast.expr | None) -> Taken:
    kinds = _kinds(ast.unparse(arg.annotation)) if arg.annotation else ()
    plain = tuple(kind for kind in kinds if kind != "None")
    if not plain or any(kind not in VALUES for kind in plain):
        raise OptionError(
            f"`{arg.arg}` of step `{address}` stands before `*`, so it must be one of {', '.join(VALUES)}",
            hint="options follow `*`",
        )
    return Taken(name=arg.arg, kinds=plain, may_be_none=default is not None)


def _option(address: str, arg: ast.arg, default: ast.expr | None) -> Option:
    if arg.annotation is None:
        raise OptionError(f"option `{arg.arg}` of step `{address}` needs an annotation")
    facts: dict[str, Any] = {"name": arg.arg, "is_required": default is None}
    facts.update(_annotation(address, arg.arg, arg.annotation))
    if default is not None:
        try:
            facts["default"] = ast.literal_eval(default)
        except ValueError:
            raise OptionError(f"the default of `{arg.arg}` of step `{address}` must be a literal") from None
    return Option(**facts)


def _annotation(address: str, name: str, node: ast.expr) -> dict[str, Any]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [side for side in (node.left, node.right) if ast.unparse(side) != "None"]
        if len(sides) == 1:
            return {**_annotation(address, name, sides[0]), "may_be_none": True}
    if isinstance(node, ast.Subscript):
        outer = ast.unparse(node.value).split(".")[-1]
        if outer == "Literal":
            choices = ast.literal_eval(node.slice)
            return {"kind": "str", "choices": choices if isinstance(choices, tuple) else (choices,)}
        if outer == "Annotated" and isinstance(node.slice, ast.Tuple):
            if (table := _table(node.slice.elts[1])) is not None:
                return {"kind": "table", "is_list": True, "table": table}
            inner = _annotation(address, name, node.slice.elts[0])
            return {**inner, "bounds": _range(node.slice.elts[1])}
        if outer == "list" and ast.unparse(node.slice) in LISTS:
            return {**_annotation(address, name, node.slice), "is_list": True}
        if outer == "dict":
            return {"kind": "dict"}
    text = ast.unparse(node).split(".")[-1]
    if text not in ALIASES:
        raise OptionError(
            f"option `{name}` of step `{address}` has the annotation `{ast.unparse(node)}`",
            hint=nearest(text, ALIASES) or "the vocabulary stands in lichen/core/schema.py",
        )
    kind, bounds = ALIASES[text]
    return {"kind": kind, "bounds": bounds}


def _table(node: ast.expr) -> dict[str, tuple[float, float, float]] | None:
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Table"):
        return None
    module, _, name = ast.literal_eval(node.args[0]).partition(":")
    path = find.source_of(module)
    assert path is not None, module
    return find.literal(path, name)


def _range(node: ast.expr) -> Range | None:
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Range"):
        return None
    keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    return Range(*[ast.literal_eval(arg) for arg in node.args], **keywords)


def _returns(
    address: str, node: ast.FunctionDef, records: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str, ...], dict[str, str]]:
    text = ast.unparse(node.returns) if node.returns else ""
    kinds = _kinds(text)
    if all(kind in VALUES for kind in kinds):
        return kinds, {}
    if text in records:
        return (), {name: kind.split(".")[-1] for name, kind in records[text].items()}
    return (), {}


def _marks(node: ast.FunctionDef) -> dict[str, Any]:
    """The literal keywords of the decorator `@step(...)`."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] in (
            "step",
            "study",
        ):
            return {
                keyword.arg: ast.literal_eval(keyword.value) for keyword in decorator.keywords if keyword.arg
            }
    return {}
