"""members: what a class holds, for its digest: bases, fields, methods and constants."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

from lichen.core import contents, definition

NOT_SAID = frozenset({
    "__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__",
    "__match_args__", "__dataclass_fields__", "__dataclass_params__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__slots__", "__parameters__",
    "__orig_bases__", "_member_map_", "_member_names_", "_value2member_map_", "_unhashable_values_",
    "_hashable_values_", "_new_member_", "_member_type_", "_use_args_", "_value_repr_",
    "_generate_next_value_", "_sort_order_",
})  # fmt: skip
"""Attributes of a class that repeat what the others say."""
Follow = Callable[[Any], str]
"""A function or class -> the name under which it is taken in."""
Constant = Callable[[str, Any], Any]
"""A name and what it holds -> a hashable form."""


def of(cls: type, follow: Follow, constant: Constant) -> dict[str, Any]:
    """Everything that a class says, as data."""
    said: dict[str, Any] = {
        "bases": [follow(base) for base in cls.__bases__],
        "made by": follow(type(cls)),
        "annotations": [[key, _words(kind)] for key, kind in inspect.get_annotations(cls).items()],
    }  # fmt: skip
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        default = [field.default, field.default_factory]
        said[f"field {field.name}"] = [
            None if part is dataclasses.MISSING else constant(field.name, part) for part in default
        ]
    members = cls.__members__ if issubclass(cls, enum.Enum) else {}
    if issubclass(cls, enum.Enum):
        said["members"] = [[one.name, constant(one.name, one.value)] for one in members.values()]
    for key, held in sorted(vars(cls).items()):
        if key not in NOT_SAID | members.keys() and not isinstance(held, types.MemberDescriptorType):
            said[f"attribute {key}"] = _attribute(cls, key, held, follow, constant)
    return said


def _attribute(cls: type, key: str, held: Any, follow: Follow, constant: Constant) -> Any:
    kind = type(held).__name__
    if isinstance(held, staticmethod | classmethod):
        held = held.__func__
    if isinstance(held, property):
        return [kind, *(follow(part) if part else None for part in (held.fget, held.fset, held.fdel))]
    if isinstance(held, functools.cached_property):
        return [kind, follow(held.func)]
    if isinstance(held, types.FunctionType):
        is_made = contents.is_generated(cls) and not definition.is_readable(inspect.unwrap(held))
        return [kind, "made from the fields" if is_made else follow(held)]
    if kind == "_tuplegetter":
        return [kind]
    return constant(key, held)


def _words(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__qualname__", None) or repr(kind)
