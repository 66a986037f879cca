"""step: a plain function becomes a recorded, cached, validated one."""

from __future__ import annotations

import dataclasses
import inspect
import os
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar, overload

from lichen.core import calling, capture, code, definition, find, key, signature, syntax
from lichen.core.errors import OptionError, UnkeyableError
from lichen.core.schema import Signature
from lichen.core.session import current
from lichen.core.value import Value

Function = TypeVar("Function", bound=Callable[..., Any])
REGISTERED: dict[str, Step] = {}
"""Steps that live in a script or notebook, by `module:name`."""


class Step:
    """A step by its address; its file is imported only when it has to run."""

    def __init__(
        self, address: str, fn: Callable[..., Any] | None = None, read: Signature | None = None
    ) -> None:
        self.address = address
        self._fn = fn
        self._signature = read
        self.__name__ = address.rpartition(":")[2].rpartition(".")[2]
        self.__qualname__ = self.__name__

    @property
    def module(self) -> str:
        return key.step_module(self.address)

    @property
    def fn(self) -> Callable[..., Any]:
        """The plain function, for calling without record or for a debugger.

        Of a step in an importable module the newest one: after a reload the file speaks of no other.
        """
        if self.is_followed:
            assert self._fn is not None
            return self._fn
        if self.address in REGISTERED:
            return REGISTERED[self.address]._fn  # type: ignore[return-value]
        if self._fn is None:
            self._fn = find.load(f"{self.module}:{self.__name__}").fn
        return self._fn

    @property
    def signature(self) -> Signature:
        newest = self if self.is_followed else REGISTERED.get(self.address, self)
        return newest._signature or signature.of("steps", self.address)

    @property
    def is_followed(self) -> bool:
        """Whether its code is taken function by function: no other process can import its module."""
        fn = self._fn
        return fn is not None and ("<locals>" in fn.__qualname__ or not capture.is_importable(fn.__module__))

    @property
    def own_code(self) -> code.Code | None:
        """The code of a step that is followed; None: its module's closure."""
        return capture.function(self.fn) if self.is_followed else None

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"{self.signature.caption}\n\n{self.signature.doc}"

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.fn)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Runs the step in the current session, or returns what the store already has.

        Values come first; a step that takes none takes its data source first, or the option it must have.

        Raises:
            OptionError: an option or value that the signature does not allow.
            StepError: the step failed.
        """
        read = self.signature
        if args and not read.values:
            first = next((name for name, option in read.options.items()
                          if option.kind == "source" or option.is_required), None)  # fmt: skip
            given = os.fspath(args[0]) if isinstance(args[0], os.PathLike) else args[0]
            args, options = (args[1:], {first: given, **options}) if first else (args, options)
        values = calling.bind(read, args, {taken.name: options.pop(taken.name)
                                           for taken in read.values if taken.name in options})  # fmt: skip
        return calling.execute(self, values, options, current())

    def __repr__(self) -> str:
        return f"<step {self.address}: {self.signature.caption}>"


@overload
def step(fn: Function, /) -> Function: ...
@overload
def step(*, splits: tuple[str, ...] | str = ..., without: Any = ...) -> Callable[[Function], Function]: ...
def step(fn: Any = None, /, *, splits: Any = None, without: Any = None) -> Any:
    """Turns a function into a step.

    Args:
        splits: those it opens (train and validation when not said), or the option that names one.
        without: what *without it* means to `ablate`: "identity", the name of the value that then stands in
            (of one not given the first of the output's kind), {neutral options}, or None: not removable.
    """
    return register if fn is None else register(fn)


def register(fn: Callable[..., Any]) -> Step:
    """The step of a function: by its file in `lichen.steps`, else by `module:name`."""
    module, name = fn.__module__, fn.__name__
    if module.startswith("lichen.steps."):
        return Step(module.removeprefix("lichen.steps."), fn)
    address = f"{module}:{name}"
    try:
        tree = syntax.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError):
        raise UnkeyableError(f"the source of step `{address}` is not readable",
                             hint="define it in a file or a notebook cell") from None  # fmt: skip
    node = signature.function_in(tree, name)
    assert node is not None
    records = {
        kind: {field.name: _annotation_text(field.type) for field in dataclasses.fields(thing)}
        for kind, thing in fn.__globals__.items()
        if isinstance(thing, type) and dataclasses.is_dataclass(thing) and not issubclass(thing, Value)
    }
    made = Step(address, fn, signature.read(node, address=address, records=records))
    if not (made.signature.returns or made.signature.fields):
        raise OptionError(f"step `{address}` must say what it returns: a value or a frozen record of values")
    REGISTERED[address] = made
    if made.is_followed:
        definition.remember(inspect.unwrap(fn))
    else:
        code.closure([module])  # meets what is imported while it still is what the files say
    return made


def _annotation_text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def by_address(address: str) -> Step:
    """The step of an address, not yet imported.

    Raises:
        NotFoundError: there is none; with the nearest.
    """
    if address in REGISTERED:
        return REGISTERED[address]
    signature.of("steps", address)
    return Step(address)
