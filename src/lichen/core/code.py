"""code: the digest of the source behind a step: a closure over modules, blind to comments and layout.

The closure follows every import (also those inside functions, and the packages above a module) through
lichen's own modules and any source outside site-packages. It stops at `lichen.core`, which FORMAT stands for;
third-party packages count by version. What a file may import is read off its syntax alone and looked up anew
each time, so that remembering a file by its stat never hides another one.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lichen.core import find, imports, loaded, packages, syntax
from lichen.core.digest import FORMAT, digest_bytes, digest_json
from lichen.core.errors import UnkeyableError

LIBRARIES = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
STANDARD = frozenset(sys.stdlib_module_names)
RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again within one clock tick: not remembered."""
READING = f"{FORMAT}.{sys.version_info.major}.{sys.version_info.minor}"
"""What was remembered of a file counts only for one way of reading: another Python draws other trees."""


@dataclass(frozen=True, slots=True)
class Code:
    """The source behind a step: digests of modules and functions, versions of packages."""

    modules: Mapping[str, str]
    packages: Mapping[str, str]

    @property
    def digest(self) -> str:
        return digest_json({"modules": dict(self.modules), "packages": dict(self.packages)})

    def join(self, other: Code) -> Code:
        return Code({**self.modules, **other.modules}, {**self.packages, **other.packages})


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed module: its digest and the modules it may import."""

    digest: str
    imports: tuple[str, ...]


@dataclass(slots=True)
class Memo:
    """What was read of source files, by their stat; kept beside a store: a second run parses nothing."""

    path: Path | None = None
    entries: dict[str, list] = field(default_factory=dict)
    is_dirty: bool = False

    def open(self, path: Path) -> None:
        """Adds what an earlier process remembered."""
        if path == self.path:
            return
        self.path = path
        try:
            kept = json.loads(path.read_bytes())
            past = kept["entries"] if kept["reading"] == READING else {}
            self.entries = {**past, **self.entries}
        except (OSError, ValueError, KeyError, TypeError):
            self.is_dirty = bool(self.entries)

    def save(self) -> None:
        """Writes back what is new, atomically; a read-only place is left alone."""
        if not self.is_dirty or self.path is None:
            return
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            part.write_text(json.dumps({"reading": READING, "entries": self.entries}))
            os.replace(part, self.path)
            self.is_dirty = False
        except OSError:
            with suppress(OSError):
                part.unlink()

    def source(self, module: str, path: Path) -> Source:
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        entry = self.entries.get(str(path))
        if entry and entry[:4] == mark and entry[4] == module:
            return Source(entry[5], tuple(entry[6]))
        source = parse(module, path)
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > RACY_NS:
            self.entries[str(path)] = [*mark, module, source.digest, list(source.imports)]
            self.is_dirty = True
        return source


MEMO = Memo()


def closure(modules: Iterable[str]) -> Code:
    """The code of modules and of everything they import.

    Raises:
        UnkeyableError: a module's source cannot be read or parsed.
    """
    question = (tuple(dict.fromkeys(modules)), tuple(sys.path))
    past = _walks.get(question)
    if past is not None and past.still_holds():
        return past.code
    walk = _Walk()
    walk.go(question[0])
    if walk.is_settled():
        _walks[question] = walk
    return walk.code


_walks: dict[tuple[tuple[str, ...], tuple[str, ...]], _Walk] = {}
"""What this process gathered, by the modules and the path they were looked for on."""


class _Walk:
    """From modules to all that they import, and what on disk says that it would go the same way again."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.met: list[tuple[str, Any, Path | None, Any]] = []
        """Arguments and results of `loaded.pinned`."""
        self.found: dict[str, str] = {}
        """Versions by package, as they lie on disk."""
        self.places: set[str] = {place or "." for place in sys.path}
        self.marks: dict[str, tuple[int, ...]] = {}

    @property
    def code(self) -> Code:
        return Code(dict(sorted(self.modules.items())), dict(sorted(self.versions.items())))

    def go(self, modules: Iterable[str]) -> None:
        done: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            top, _, below = module.partition(".")
            if module in done or top in self.versions or is_outside(module):
                continue
            done.add(module)
            if below:
                waiting.append(module.rpartition(".")[0])  # importing a.b runs a first
            if below.endswith("*"):
                waiting.extend(_below(module))
                continue
            waiting.extend(self._meet(module, top, below))

    def _meet(self, module: str, top: str, below: str) -> tuple[str, ...]:
        """Takes one module in; the modules that it may import."""
        path = find.file_of(module, self.places)
        is_third_party = (path is None and not below) or (path is not None and is_installed(module, path))
        if is_third_party and (version := packages.version_of(top)) is not None:
            self.found[top] = version
            self.versions[top] = self._pinned(top, version, None)
        elif path is not None:
            self.places.update((str(path), str(path.parent)))
            is_users = top != "lichen" and path.suffix == ".py"
            source = self._pinned(module, MEMO.source(module, path), path if is_users else None)
            self.modules[module] = source.digest
            return source.imports
        return ()

    def _pinned(self, name: str, mark: Any, path: Path | None) -> Any:
        found = loaded.pinned(name, mark, path)
        self.met.append((name, mark, path, found))
        return found

    def is_settled(self) -> bool:
        """Whether it may be kept: what changed a moment ago may change again, unseen."""
        self.marks = {place: _mark(place) for place in self.places}
        latest = max((mark[0] for mark in self.marks.values() if mark), default=0)
        return time.time_ns() - latest > RACY_NS

    def still_holds(self) -> bool:
        """Whether files and folders are as they were, and what was imported since says nothing else."""
        return (
            all(_mark(place) == mark for place, mark in self.marks.items())
            and all(packages.version_of(top) == version for top, version in self.found.items())
            and all(loaded.pinned(name, mark, path) == found for name, mark, path, found in self.met)
        )


def _mark(place: str) -> tuple[int, ...]:
    try:
        facts = os.stat(place)
    except OSError:
        return ()
    return max(facts.st_mtime_ns, facts.st_ctime_ns), facts.st_mtime_ns, facts.st_size, facts.st_ino


def gathered(parts: Iterable[str | Code]) -> Code:
    """One code of modules, by name, and of what is no module's."""
    parts = list(parts)
    whole = closure([part for part in parts if isinstance(part, str)])
    for part in parts:
        whole = whole.join(part) if isinstance(part, Code) else whole
    return whole


def is_outside(module: str) -> bool:
    """Standard library, core, and lichen's face, which hold no computation of a step."""
    top = module.partition(".")[0]
    return top in STANDARD or module in ("__main__", "lichen") or f"{module}.".startswith("lichen.core.")


def is_installed(module: str, path: Path) -> bool:
    """Whether a module is third-party, which counts by version."""
    return not f"{module}.".startswith("lichen.") and _is_in_library(path)


@lru_cache(maxsize=4096)
def _is_in_library(path: Path) -> bool:
    is_named_so = "site-packages" in path.parts or "dist-packages" in path.parts
    return is_named_so or os.path.realpath(path).startswith(LIBRARIES)


def parse(module: str, path: Path) -> Source:
    """Reads one module; a compiled one is its bytes."""
    try:
        data = path.read_bytes()
        if path.suffix != ".py":
            return Source(digest_bytes(data), ())
        tree = syntax.parse(data)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnkeyableError(f"the source of `{module}` cannot be read: {error}", where=str(path)) from None
    found = imports.of(tree, module, is_package=path.name == "__init__.py")
    return Source(normal(tree), tuple(dict.fromkeys(found)))


def normal(tree: ast.AST) -> str:
    """The digest of a tree without docstrings; comments and layout are not in a tree."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            lines = getattr(node, name, None)
            if isinstance(lines, list):
                lines[:] = [line for line in lines if not _says_nothing(line)]
                if name == "body" and not lines:
                    lines.append(ast.Pass())
    return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest()


def _says_nothing(line: ast.stmt) -> bool:
    """A docstring, of whatever it stands under, or `pass`."""
    if isinstance(line, ast.Pass):
        return True
    constant = line.value if isinstance(line, ast.Expr) else None
    return isinstance(constant, ast.Constant) and (isinstance(constant.value, str) or constant.value is ...)


def _below(star: str) -> Iterator[str]:
    """The modules that `package.*` may name; `package.**` those of its packages too."""
    package, _, stars = star.rpartition(".")
    path = find.file_of(package)
    if path is None or path.stem != "__init__" or is_installed(package, path):
        return
    for file in sorted(path.parent.glob("*.py" if stars == "*" else "**/*.py")):
        parts = file.relative_to(path.parent).with_suffix("").parts
        yield ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])
