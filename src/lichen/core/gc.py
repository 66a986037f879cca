"""gc: frees what no name, checkpoint or recent run needs; lineages behind what stays are kept whole."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lichen.core import events
from lichen.core.errors import UsageError
from lichen.core.store import Store
from lichen.core.value import find_blobs

HOUR_S, WEEK_S = 3600.0, 7 * 86400.0
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
TABLES_OF_CALLS = {"calls": "id", "outputs": "call", "readers": "call"}
TABLES_OF_VALUES = {"vals": "digest", "places": "digest", "costs": "digest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What a collection removed, or would remove."""

    values: int
    blobs: int
    size_bytes: int


def collect(store: Store, *, is_dry: bool, grace_s: float | None = None) -> Freed:
    """Removes values, calls and blobs that nothing needs.

    Needed are: what names point at and pointed at (so that a rollback works), every call behind these with
    all its values, the evaluations of all of them, checkpoints, and whatever is younger than the grace period
    or that a run of that time, or one that is still under way, made or found.

    Args:
        is_dry: say what would go, and remove nothing.
        grace_s: None: an hour, and a week in a team's store, where runs of other machines are not seen.

    Raises:
        UsageError: a step is being computed in this store.
        MachineError: the store is read-only.
    """
    if grace_s is None:
        grace_s = WEEK_S if store.is_shared else HOUR_S
    if is_dry:
        return _collect(store, is_dry=True, limit_s=time.time() - grace_s)
    with store.adding(alone=True):
        if busy := store.locks.busy():
            raise UsageError(
                f"a step is being computed in this store (key {busy[:10]})", hint="collect when it is done"
            )
        return _collect(store, is_dry=False, limit_s=time.time() - grace_s)


def _collect(store: Store, *, is_dry: bool, limit_s: float) -> Freed:
    with store.records.transaction():
        needed = _Needed(store)
        needed.mark(_roots(store, limit_s))
        values = [row["digest"] for row in store.records.rows("SELECT digest FROM vals")
                  if row["digest"] not in needed.values]  # fmt: skip
        calls = [
            row["id"] for row in store.records.rows("SELECT id FROM calls") if row["id"] not in needed.calls
        ]
        blobs = dict(_unused(store, needed.blobs(), limit_s))
        if not is_dry:
            _delete(store, TABLES_OF_CALLS, calls)
            _delete(store, TABLES_OF_VALUES, values)
            records = [row["record"] for row in store.records.rows("SELECT record FROM calls")]
            kept = {json.loads(record)["code"] for record in records}
            codes = [row["digest"] for row in store.records.rows("SELECT digest FROM codes")]
            _delete(store, {"codes": "digest"}, [digest for digest in codes if digest not in kept])
    if not is_dry:
        for blob in blobs:
            store.objects.remove(blob)
        store.objects.sweep(time.time() - limit_s)
        store.unfinished.sweep()
    return Freed(values=len(values), blobs=len(blobs), size_bytes=sum(blobs.values()))


class _Needed:
    """The calls and values that stay: a graph walked from its roots."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls: set[str] = set()
        self.values: set[str] = set()

    def mark(self, roots: Iterable[tuple[str, str]]) -> None:
        """Keeps ("call" or "value", name) and everything those need."""
        waiting = list(roots)
        while waiting:
            what, name = waiting.pop()
            kept = self.calls if what == "call" else self.values
            if name not in kept:
                kept.add(name)
                waiting += self._of_call(name) if what == "call" else self._of_value(name)

    def _of_call(self, id: str) -> Iterator[tuple[str, str]]:
        row = self.store.records.row("SELECT record FROM calls WHERE id = ?", [id])
        record: dict[str, Any] = json.loads(row["record"]) if row else {"inputs": {}, "outputs": {}}
        for ref in record["inputs"].values():
            yield "value", ref["digest"]
            if ref["call"]:
                yield "call", ref["call"]
        for digest in record["outputs"].values():
            yield "value", digest

    def _of_value(self, digest: str) -> Iterator[tuple[str, str]]:
        """Values that a manifest names, and the evaluations of this one."""
        row = self.store.records.row("SELECT manifest FROM vals WHERE digest = ?", [digest])
        for other in set(DIGEST.findall(row["manifest"])) if row else ():
            if self.store.records.row("SELECT 1 FROM vals WHERE digest = ?", [other]):
                yield "value", other
        rows = self.store.records.rows(
            "SELECT readers.call AS id, manifest FROM readers JOIN outputs ON outputs.call = readers.call "
            "JOIN vals ON vals.digest = outputs.digest WHERE readers.digest = ? AND kind = 'scores'",
            [digest],
        )
        yield from (("call", row["id"]) for row in rows if json.loads(row["manifest"])["subject"] == digest)

    def blobs(self) -> set[str]:
        rows = self.store.records.rows("SELECT digest, manifest FROM vals")
        manifests = [row["manifest"] for row in rows if row["digest"] in self.values]
        return {blob for manifest in manifests for blob in find_blobs(json.loads(manifest))}


def _roots(store: Store, limit_s: float) -> Iterator[tuple[str, str]]:
    limit = datetime.fromtimestamp(limit_s, UTC).isoformat(timespec="milliseconds")
    for row in store.records.rows("SELECT digest, call FROM name_log UNION SELECT digest, call FROM names"):
        yield "value", row["digest"]
        if row["call"]:
            yield "call", row["call"]
    for row in store.records.rows("SELECT id FROM calls WHERE created >= ?", [limit]):
        yield "call", row["id"]
    for row in store.records.rows("SELECT digest FROM vals WHERE created >= ?", [limit]):
        yield "value", row["digest"]
    for path in (store.folder / "runs").glob("*/events.jsonl"):
        if path.stat().st_mtime >= limit_s or events.is_open(path):
            yield from _used_by(path)


def _used_by(path: Path) -> Iterator[tuple[str, str]]:
    """What a run made or found: it may be about to read it again."""
    for event in events.read(path):
        if event["kind"] in ("step.found", "step.end"):
            yield "call", event["call"]
            yield from (("value", digest) for digest in event["outputs"].values())


def _unused(store: Store, needed: set[str], limit_s: float) -> Iterator[tuple[str, int]]:
    for blob in store.objects:
        size_bytes, changed_s = store.objects.facts(blob)
        if blob not in needed and changed_s < limit_s:
            yield blob, size_bytes


def _delete(store: Store, tables: dict[str, str], names: list[str]) -> None:
    for table, column in tables.items():
        for name in names:
            store.records.execute(f"DELETE FROM {table} WHERE {column} = ?", [name])
