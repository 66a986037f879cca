"""find: the one place that imports by string; the file system is the registry of every shelf."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import machinery, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lichen.core import syntax
from lichen.core.errors import NotFoundError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PACKAGE = Path(__file__).resolve().parent.parent
SUFFIXES = ("/__init__.py", *machinery.EXTENSION_SUFFIXES, ".py")
PURE = ("/__init__.py", ".py")
"""Of lichen's own modules: most of a step's code, looked up for every call."""
SINGULAR = {"steps": "step", "tasks": "task", "nets": "net", "studies": "study"}
SHELVES = tuple(SINGULAR)
BEHIND_VALUES = (
    "lichen.data.rows", "lichen.engine.modules.backend", "lichen.engine.answer", "lichen.engine.decode",
    "lichen.engine.translate",
)  # fmt: skip
"""The modules that methods of values lead to; part of the code of every user step."""


def load(address: str) -> Any:
    """The object at `package.module:name`, imported now.

    Raises:
        NotFoundError: no such module or name.
    """
    module_name, _, name = address.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise NotFoundError(
                f"module `{module_name}` does not exist", hint="is its folder beside the recipe in `units/`?"
            ) from None
        raise
    for part in name.split(".") if name else ():
        if not hasattr(module, part):
            raise NotFoundError(f"`{module_name}` has no `{part}`", hint=nearest(part, vars(module)))
        module = getattr(module, part)
    return module


def source_of(module_name: str) -> Path | None:
    """The source file of a module, found without importing it; None for built-in or compiled ones."""
    path = file_of(module_name)
    return path if path is not None and path.suffix == ".py" else None


def file_of(module_name: str, looked: set[str] | None = None) -> Path | None:
    """The file of a module, source or compiled, found without importing it or the packages above it.

    Args:
        looked: takes the folders that may hold it; for one without dots these are `sys.path`.
    """
    top, *rest = module_name.split(".")
    if top == "lichen":
        folders = [str(PACKAGE)]
    else:
        try:
            spec = util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:  # the finders list a folder anew only when its time stamp has moved
            return _file_in(sys.path, top) if not rest else None
        if not rest:
            return Path(spec.origin) if spec.origin and spec.has_location else None
        folders = list(spec.submodule_search_locations or ())
    if not rest:
        return PACKAGE / "__init__.py"
    for part in rest[:-1]:
        folders = [f"{folder}/{part}" for folder in folders]
    if looked is not None:
        looked.update(folders)
    suffixes = PURE if top == "lichen" else SUFFIXES
    return _file_in(folders if len(rest) == 1 else filter(os.path.isdir, folders), rest[-1], suffixes)


def _file_in(folders: Iterable[str], name: str, suffixes: Sequence[str] = SUFFIXES) -> Path | None:
    """The file that `import name` reads in the first of the folders that has one; in Python's order."""
    if not name or "/" in name:
        return None
    paths = (f"{folder or '.'}/{name}{suffix}" for folder in folders for suffix in suffixes)
    return next((Path(path) for path in paths if os.path.isfile(path)), None)


def absolute(level: int, name: str, package: str) -> str:
    """What a relative import of a package's module names: `from ..b import c` in a.x.y is a.b."""
    if not level:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])


def shelf(name: str, root: Path = PACKAGE) -> dict[str, Path]:
    """Every file of a shelf by address: `steps` -> {"compress.prune": .../steps/compress/prune.py}."""
    return dict(_files(name, root))


def _files(name: str, root: Path) -> Iterator[tuple[str, Path]]:
    folder = root / name
    for path in sorted(folder.rglob("*.py")):
        if path.stem != "__init__" and "__pycache__" not in path.parts:
            yield ".".join(path.relative_to(folder).with_suffix("").parts), path


def _is_on(shelf_name: str, address: str) -> bool:
    """Whether a shelf has a file, without listing the shelf: every call asks this."""
    parts = address.split(".")
    is_plain = all(part.isidentifier() and part != "__init__" for part in parts)
    return is_plain and os.path.isfile(f"{PACKAGE}/{shelf_name}/{'/'.join(parts)}.py")


def module_of(shelf_name: str, name: str) -> str:
    """The module of a step, task, net or study by its address; `module:name` addresses are a user's own.

    Raises:
        NotFoundError: nothing has that name.
    """
    if ":" in name:
        return name.partition(":")[0]
    if _is_on(shelf_name, name):
        return f"lichen.{shelf_name}.{name}"
    for entry in entry_points(shelf_name):
        if entry.name == name:
            return entry.value.partition(":")[0]
    raise NotFoundError(f"unknown {SINGULAR[shelf_name]} `{name}`", hint=nearest(name, shelf(shelf_name)))


@lru_cache
def entry_points(shelf_name: str) -> tuple[EntryPoint, ...]:
    """What installed packages add to a shelf through the entry-point group `lichen.<shelf>`."""
    from importlib import metadata  # a quarter of the time that `lichen --help` takes

    return tuple(metadata.entry_points(group=f"lichen.{shelf_name}"))


def caption(path: Path) -> str:
    """Line 1 of a file after `name: `, without its quotes."""
    with path.open(encoding="utf-8") as file:
        line = file.readline().strip().strip('"')
    return line.partition(": ")[2].rstrip(".") or line


def net_module(name: str) -> str:
    """The module of a net: a file of `nets/`, a file's VARIANT, `file/variant`, or a user's `module:name`.

    Raises:
        NotFoundError: no such net.
    """
    if ":" in name:
        return name.partition(":")[0]
    stem = name.partition("/")[0]
    if _is_on("nets", stem):
        return f"lichen.nets.{stem}"
    nets = shelf("nets")
    for address, path in nets.items():
        if name in variants(path):
            return f"lichen.nets.{address}"
    for entry in entry_points("nets"):
        if entry.name == name:
            return entry.value.partition(":")[0]
    known = {*nets, *(variant for path in nets.values() for variant in variants(path))}
    raise NotFoundError(f"unknown net `{name}`", hint=nearest(name, known))


def variants(path: Path) -> dict[str, dict[str, Any]]:
    """The literal VARIANTS of a net's file: names it serves and the options behind them."""
    return literal(path, "VARIANTS")


def literal(path: Path, name: str) -> dict[str, Any]:
    """The literal mapping that a file assigns to a name, read without importing it; {} when it does not."""
    return _literal(path.read_bytes(), name)


@lru_cache(maxsize=256)
def _literal(source: bytes, name: str) -> dict[str, Any]:
    for node in syntax.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return {}
