"""contents: what a captured object is, and what it holds."""

from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any

from lichen.core import code, find
from lichen.core.digest import digest_bytes

COMPILED = (types.MethodDescriptorType, types.ClassMethodDescriptorType, types.WrapperDescriptorType,
            types.GenericAlias, types.UnionType)  # fmt: skip
LIBRARY_KINDS = ("ufunc", "dtype", "device", "_ArrayFunctionDispatcher")
"""Kinds of numpy and torch whose objects hold nothing of the user's."""


def is_generated(cls: type) -> bool:
    """A dataclass or named tuple: its methods are written from its fields, which are told apart."""
    return dataclasses.is_dataclass(cls) or hasattr(cls, "_field_defaults")


def is_users(cls: type) -> bool:
    """Whether a class is the user's own, so that its objects are what their attributes say."""
    path = find.file_of(cls.__module__) if cls.__module__ != "__main__" else None
    is_standard = cls.__module__.partition(".")[0] in code.STANDARD
    return not is_standard and (path is None or not code.is_installed(cls.__module__, path))


def is_net(thing: Any) -> bool:
    """A torch module or loss, the user's or torch's own: all that it holds is in its attributes."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def state(thing: Any) -> dict[str, Any]:
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    return {
        **{name: getattr(thing, name) for name in slots if hasattr(thing, name)},
        **getattr(thing, "__dict__", {}),
    }


def cells(fn: types.FunctionType) -> dict[str, Any]:
    """Captured variables that are set."""
    found = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue  # defined further down
    return found


def holds_objects(thing: Any) -> bool:
    return bool(getattr(getattr(thing, "dtype", None), "hasobject", False))


def tensor(thing: Any) -> list[Any] | None:
    """A numpy array or scalar, or a torch tensor, by its bytes."""
    if hasattr(thing, "tobytes") and hasattr(thing, "dtype") and not holds_objects(thing):
        return ["array", str(thing.dtype), list(thing.shape), digest_bytes(thing.tobytes())]
    if hasattr(thing, "detach") and hasattr(thing, "untyped_storage"):
        array = thing.detach().cpu().contiguous().reshape(-1).view(sys.modules["torch"].uint8).numpy()
        return ["tensor", str(thing.dtype), list(thing.shape), digest_bytes(array.tobytes())]
    return None


def is_of_library(thing: Any) -> bool:
    """A compiled function, a dtype, an annotation, a logger: what the version of a package says."""
    if isinstance(thing, types.BuiltinFunctionType):
        return thing.__self__ is None or isinstance(thing.__self__, types.ModuleType | type)
    if isinstance(thing, COMPILED) or type(thing).__module__ in ("typing", "logging"):
        return True
    return any(cls.__name__ in LIBRARY_KINDS for cls in type(thing).__mro__)
