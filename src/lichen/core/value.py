"""value: an immutable, content-addressed thing: a manifest over blobs, and the call that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from lichen.core.digest import digest_bytes, digest_json, short
from lichen.core.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from lichen.core.lineage import Made


class Blobs(Protocol):
    """Where the bytes behind a value are: in memory, in a store, in a file."""

    def get(self, blob: str) -> memoryview:
        """The bytes of a blob, mapped where possible.

        Raises:
            NotFoundError: no such blob here.
        """
        ...

    def __contains__(self, blob: str) -> bool: ...


class Memory(dict[str, memoryview]):
    """Blobs held in memory."""

    def put(self, data: bytes | memoryview) -> str:
        """Keeps the bytes and returns their name."""
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        blob = digest_bytes(view)
        self[blob] = view
        return blob

    def get(self, blob: str) -> memoryview:  # type: ignore[override]
        if blob not in self:
            raise NotFoundError(f"blob {short(blob)} is not in memory")
        return self[blob]


@dataclass(frozen=True, slots=True)
class Chain:
    """Blobs of several places, asked in order."""

    places: tuple[Blobs, ...]

    def get(self, blob: str) -> memoryview:
        for place in self.places:
            if blob in place:
                return place.get(blob)
        raise NotFoundError(f"blob {short(blob)} is gone")

    def __contains__(self, blob: str) -> bool:
        return any(blob in place for place in self.places)


@dataclass(frozen=True, kw_only=True, eq=False)
class Value:
    """What steps take and return. Equal when the digests are equal.

    Args:
        manifest: JSON that says everything the value is; blobs by their hashes.
        blobs: where those bytes are.
        made: the recorded call behind this value, or None for one that came from outside.
    """

    kind: ClassVar[str] = "value"
    manifest: Mapping[str, Any]
    blobs: Blobs = field(default_factory=Memory)
    made: Made | None = None

    @cached_property
    def digest(self) -> str:
        return digest_json(self.manifest)

    @property
    def id(self) -> str:
        """The short digest that people read and type."""
        return short(self.digest)

    def identity(self, splits: tuple[str, ...] | None = None) -> str:
        """What a call key takes of this value: the digest, or for a Dataset that of the declared splits."""
        return self.digest

    def with_made(self, made: Made | None) -> Self:
        return replace(self, made=made)

    def with_blobs(self, blobs: Blobs) -> Self:
        return replace(self, blobs=blobs)

    def blob_names(self) -> list[str]:
        """Every blob the manifest refers to, each once."""
        return list(dict.fromkeys(find_blobs(self.manifest)))

    def save(self, path: str | Path) -> Path:
        """Writes the value with its blobs and lineage as one file that `li.open` reads anywhere."""
        from lichen.core import valuefile

        return valuefile.write(self, path)

    def facts(self) -> dict[str, str]:
        """What the short and the notebook view show, in order."""
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        facts = ", ".join(f"{key} {text}" for key, text in self.facts().items())
        return f"{type(self).__name__}({self.id}{': ' if facts else ''}{facts})"

    def _repr_html_(self) -> str:
        import html

        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th><td>{html.escape(text)}</td></tr>"
            for key, text in {"digest": self.digest[:16], **self.facts(), **self.origin()}.items()
        )
        return f"<table><caption><b>{type(self).__name__}</b></caption>{rows}</table>"

    def origin(self) -> dict[str, str]:
        """The steps behind this value, in one line."""
        if self.made is None:
            return {}
        return {"made by": " -> ".join(call.step for call in self.made.call.history())}


def find_blobs(thing: Any) -> Iterator[str]:
    """Every `{"blob": hash}` inside a manifest."""
    if isinstance(thing, Mapping):
        if isinstance(thing.get("blob"), str):
            yield thing["blob"]
        for part in thing.values():
            yield from find_blobs(part)
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from find_blobs(part)


def count_text(count: float) -> str:
    """7 -> 7, 21 840 -> 21.8 k, 11 173 962 -> 11.2 M."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if count >= limit:
            return f"{count / (1e3 if unit == ' k' else limit):.1f}{unit}"
    return f"{count:.0f}"


def rate_text(per_s: float) -> str:
    """As counts, but what is rare keeps two digits: 0.14, 5.3, 840, 21.8 k."""
    return f"{per_s:.2g}" if per_s < 10 else count_text(per_s)


def size_text(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError


def seconds_text(seconds: float) -> str:
    """0.25 s, 12 s, 3:05 min, 1:02 h."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
