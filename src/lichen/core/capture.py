"""capture: the code of a function that lives in a script, a notebook or another function.

Its source, what it names, and what it closes over, followed function by function; into importable modules by
their closure. A class is its `members`.
"""

from __future__ import annotations

import builtins
import enum
import functools
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import count
from pathlib import PurePath
from typing import Any

from lichen.core import code, contents, definition, find, guard, imports, loaded, members, own, packages
from lichen.core.digest import digest_bytes, digest_json
from lichen.core.environment import Environment
from lichen.core.errors import UnkeyableError
from lichen.core.value import Value


def function(fn: Callable[..., Any]) -> code.Code:
    """The code of one function: a change to it, to a helper, a constant or a captured variable changes it.

    An object that can be called, such as `nn.CrossEntropyLoss()`, is its class and what it holds.

    Raises:
        UnkeyableError: the source is not readable, or something captured cannot be hashed; names it.
        LeakError: it uses a Dataset that it was not handed.
    """
    follower = _Follower()
    is_plain = isinstance(fn, types.FunctionType | type) or hasattr(fn, "__wrapped__") or _fn(fn) is not fn
    if is_plain or not callable(fn):
        follower.modules["<entry>"] = follower.follow(fn)
    else:
        follower.modules["<entry>"] = digest_json(follower.constant("an option", type(fn).__name__, fn))
    return follower.code()


def unit(address: str, known: Mapping[str, Any]) -> str | code.Code:
    """A user's own net or task by `module:name`: its module, or its code when it has none to import."""
    module = address.partition(":")[0]
    if is_importable(module) or address not in known:
        return module
    thing = known[address]
    return function(thing if isinstance(thing, types.FunctionType | type) else type(thing))


def behind(value: Value) -> list[str | code.Code]:
    """The modules and code of the nets, task, reader or environment that a value names."""
    manifest = value.manifest
    nets = [part["net"] for part in manifest.get("parts", {}).values() if part["net"]]
    found = [unit(net, own.NETS) if ":" in net else find.net_module(net) for net in nets]
    if any(part.get("base") for part in manifest.get("parts", {}).values()):
        found.append("lichen.engine.training.merging")
    if manifest.get("task"):
        task = manifest["task"]["name"]
        found.append(unit(task, own.TASKS) if ":" in task else find.module_of("tasks", task))
    if manifest.get("reader"):
        found.append(f"lichen.data.readers.{manifest['reader']['name']}")
    readers = {split["reader"]["name"] for split in manifest.get("splits", {}).values() if "reader" in split}
    found += [f"lichen.data.readers.{name}" for name in sorted(readers)]
    if isinstance(value, Environment):
        found += [*value.modules(), _of_others(value)]
    return found


def _of_others(value: Environment) -> code.Code:
    """Of modules that can be found their closure; what stands anywhere else function by function."""
    follower, rest = _Follower(), []
    for thing in value.others():
        module = thing.partition(":")[0] if isinstance(thing, str) else "__main__"
        if module != "__main__" and (find.file_of(module) is not None or module not in sys.modules):
            follower.waiting.add(module)
        else:
            rest.append(find.load(thing) if isinstance(thing, str) else thing)
    if rest:
        name = f"<{value.address}>"
        follower.modules[name] = digest_json(follower.constant(name, "its registration", rest))
    return follower.code()


def is_importable(module: str) -> bool:
    """Whether another process can import it: no script's or notebook's `__main__`."""
    return module != "__main__" and find.source_of(module) is not None


def is_own_of(module: str, thing: Any) -> bool:
    """Whether a module holds this very function or class under the name it was defined by."""
    held: Any = sys.modules.get(module)
    for part in thing.__qualname__.split("."):
        held = getattr(held, part, None)
    return held is thing or _fn(held) is thing or getattr(held, "__wrapped__", None) is thing


def _fn(thing: Any) -> Any:
    """The function of a step that this session made; anything else as it is."""
    return thing._fn if type(thing).__name__ == "Step" and thing._fn is not None else thing


class _Follower:
    """What was met on the way, each thing under a name of its own."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        """Digests of functions, classes and what they use."""
        self.waiting: set[str] = set()
        """Modules whose closure counts too."""
        self.beside: list[str | code.Code] = []
        """Of captured values."""
        self.importable: dict[str, bool] = {}
        self.names: dict[int, str] = {}
        self.kept: list[Any] = []
        """Holds what `names` knows by id, so that no id is given twice."""

    def code(self) -> code.Code:
        found = code.gathered([*sorted(self.waiting), *self.beside])
        return code.Code(dict(sorted({**found.modules, **self.modules}.items())), found.packages)

    def follow(self, thing: Any) -> str:
        """Takes in a function or class and returns its name."""
        thing = _fn(thing)
        while hasattr(thing, "__wrapped__") and not isinstance(thing, types.FunctionType | type):
            thing = thing.__wrapped__  # functools.cache and its like add nothing to a result
        if id(thing) in self.names:
            return self.names[id(thing)]
        if not isinstance(thing, types.FunctionType | type):
            raise UnkeyableError(f"{thing!r} is neither a function nor a class, so its code cannot be hashed",
                                 hint="wrap it in a function")  # fmt: skip
        name = self._name(thing)
        module = thing.__module__ or ""
        if module.partition(".")[0] in code.STANDARD:
            self.modules[name] = name
        elif self._is_importable(module):
            self._from_module(thing, name, module)
        elif isinstance(thing, type):
            self._class(thing, name)
        else:
            self._function(thing, name)
        return name

    def _class(self, cls: type, name: str) -> None:
        self.modules[name] = digest_json(members.of(cls, self.follow, partial(self.constant, name)))

    def _is_importable(self, module: str) -> bool:
        if module not in self.importable:
            self.importable[module] = is_importable(module)
        return self.importable[module]

    def _name(self, thing: Any) -> str:
        stem = f"{thing.__module__}:{thing.__qualname__}"
        taken = set(self.names.values())
        numbered = (f"{stem}#{number}" for number in count(2))
        name = stem if stem not in taken else next(one for one in numbered if one not in taken)
        self.names[id(thing)] = name
        self.kept.append(thing)
        return name

    def _from_module(self, thing: Any, name: str, module: str) -> None:
        """Something an importable module defines; what a call of it made has captured things beside."""
        self.waiting.add(module)
        self.modules[name] = name
        if is_own_of(module, thing):
            return
        if "<locals>" not in thing.__qualname__ and not hasattr(thing, "__wrapped__"):
            held = getattr(sys.modules.get(module), thing.__name__, None)
            if isinstance(held, type(thing)) and not loaded.is_same(thing, held):
                raise UnkeyableError(f"`{thing.__name__}` is from before `{module}` was reloaded",
                                     hint=f"from {module} import {thing.__name__}, again")  # fmt: skip
        if isinstance(thing, types.FunctionType):
            self._bound(thing, name)
        elif "<locals>" in thing.__qualname__:
            self._class(thing, name)

    def _bound(self, fn: types.FunctionType, name: str) -> None:
        """Defaults and captured variables: what a function has beside its source."""
        defaults = [fn.__defaults__, sorted((fn.__kwdefaults__ or {}).items())]
        self.modules[f"{name}<defaults>"] = digest_json(self.constant(name, "a default", defaults))
        for used, thing in contents.cells(fn).items():
            self.take(name, used, thing)

    def _function(self, fn: types.FunctionType, name: str) -> None:
        said = definition.of(fn, name)
        self.modules[name] = said.digest
        self.waiting.update(said.imports)
        self.waiting.update(imports.through(said.chains, _modules_in(fn.__globals__, said.names)))
        self._bound(fn, name)
        captured = contents.cells(fn)
        for alias in sorted(said.names - captured.keys()):
            if alias in fn.__globals__:
                self.take(name, alias, fn.__globals__[alias])

    def take(self, owner: str, used: str, thing: Any) -> None:
        """Takes in what a name of a function stands for."""
        if getattr(builtins, used, self) is thing or thing is sys.modules["lichen"]:
            return
        if isinstance(thing, types.ModuleType):
            top = thing.__name__.partition(".")[0]
            has_file = find.file_of(thing.__name__) is not None
            if top not in code.STANDARD and not has_file and not packages.version_of(top):
                raise UnkeyableError(
                    f"`{owner}` uses `{used}`, a module without a file, so its code is unknown"
                )
            self.modules[f"{owner}<{used}>"] = thing.__name__
            self.waiting.add(thing.__name__)
        else:
            self.modules[f"{owner}<{used}>"] = digest_json(self.constant(owner, used, thing))

    def constant(self, owner: str, used: str, thing: Any) -> Any:
        """A hashable form of a constant or captured variable.

        Raises:
            UnkeyableError: there is none.
        """
        try:
            found = self._plain(owner, used, thing)
            return self._code(owner, used, thing) if found is NotImplemented else found
        except RecursionError:
            raise UnkeyableError(f"`{owner}` uses `{used}`, which contains itself") from None

    def _plain(self, owner: str, used: str, thing: Any) -> Any:
        """Data by what they hold; of a subclass, its code as well."""
        kind = type(thing)
        if thing is None or kind in (bool, int, str):
            return thing
        if kind in (float, complex, range, slice) or thing is ... or thing is NotImplemented:
            return [kind.__name__, repr(thing)]
        if kind in (bytes, bytearray):
            return [kind.__name__, digest_bytes(thing)]
        if isinstance(thing, enum.Enum):
            return ["enum", self.follow(kind), thing.name]
        if isinstance(thing, list | tuple):
            return [self._kind(kind), [self.constant(owner, used, item) for item in thing]]
        if isinstance(thing, set | frozenset):
            return [self._kind(kind), sorted(digest_json(self.constant(owner, used, item)) for item in thing)]
        if isinstance(thing, Mapping):
            pairs = [[self.constant(owner, used, k), self.constant(owner, used, v)] for k, v in thing.items()]
            factory = getattr(thing, "default_factory", None)
            return [self._kind(kind), pairs, self.constant(owner, used, factory)]
        if isinstance(thing, PurePath):
            return ["path", str(thing)]
        if isinstance(thing, re.Pattern):
            return ["pattern", self.constant(owner, used, thing.pattern), thing.flags]
        if isinstance(thing, Value):
            guard.check_captured(owner, used, thing)
            self.beside += behind(thing)
            return ["value", thing.digest]
        return contents.tensor(thing) or (["array", str(thing.dtype), list(thing.shape), self.constant(
            owner, used, thing.tolist())] if contents.holds_objects(thing) else NotImplemented)  # fmt: skip

    def _kind(self, kind: type) -> str:
        return kind.__name__ if kind.__module__ in code.STANDARD else self.follow(kind)

    def _code(self, owner: str, used: str, thing: Any) -> Any:
        """Things that are called, and objects of the user's own classes."""
        if type(thing).__name__ == "Step" and not thing.is_followed:
            self.waiting.add(thing.module)
            return ["step", thing.address]
        if type(thing).__name__ == "Shelf":
            self.waiting.update(imports.through_door(f"lichen.{thing._name}"))
            return ["shelf", thing._name]
        if isinstance(thing, functools.partial):
            return [
                "partial",
                *(self.constant(owner, used, part) for part in (thing.func, thing.args, thing.keywords)),
            ]
        if isinstance(thing, types.MethodType):
            return ["method", self.follow(thing.__func__), self.constant(owner, used, thing.__self__)]
        if (
            isinstance(thing, types.FunctionType | type)
            or hasattr(thing, "__wrapped__")
            or _fn(thing) is not thing
        ):
            return ["code", self.follow(thing)]
        if contents.is_of_library(thing):
            self.waiting.update(
                [type(thing).__module__, str(getattr(thing, "__module__", None) or "builtins")]
            )
            return ["library", type(thing).__module__, getattr(thing, "__qualname__", None) or repr(thing)]
        if type(thing) is object:
            return ["object"]  # a sentinel: it holds nothing
        if contents.is_net(thing) or all(contents.is_users(cls) for cls in type(thing).__mro__[:-1]):
            return ["instance", self.follow(type(thing)), self.constant(owner, used, contents.state(thing))]
        raise UnkeyableError(
            f"`{owner}` uses `{used}`, a {type(thing).__name__}, which cannot be hashed",
            hint="pass it as an option, build it inside, or make it a number, text, array or Value",
        )


def _modules_in(scope: Mapping[str, Any], used: Iterable[str]) -> dict[str, str]:
    """Imported modules among the names: `package.module.f()` leads to a module below, `li.` to a step."""
    return {name: scope[name].__name__ for name in used if isinstance(scope.get(name), types.ModuleType)}
