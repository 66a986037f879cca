"""store: where values, lineages, events and names live; found like `.git`.

.lichen/
  objects/      immutable blobs named by their hash
  lichen.db     values, calls, names, decisions, costs (SQLite, WAL)
  runs/         events of every run
  unfinished/   checkpoints of calls under way
  index.db      stats and digests of files seen      code.json   the same of source files
  locks/        one per key being computed           tmp/        what is being written
  team.json     where a team's blobs and records are; objects/ is then a cache, and lichen.db is not there
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from lichen.core import code, machine
from lichen.core.dataset import Dataset
from lichen.core.digest import canonical, digest_bytes
from lichen.core.disk import disk_error, make_folder
from lichen.core.environment import Environment
from lichen.core.errors import MachineError, NotFoundError, UnsafeInputError, UsageError
from lichen.core.lineage import Call, Made, from_record
from lichen.core.locks import FileLocks, Locks
from lichen.core.model import Model
from lichen.core.names import Names
from lichen.core.objects import Objects
from lichen.core.places import Places
from lichen.core.program import Program
from lichen.core.records import Records, SQLite, now
from lichen.core.scores import Scores
from lichen.core.unfinished import Unfinished
from lichen.core.value import Value

FOLDER, TEAM = ".lichen", "team.json"
KINDS: dict[str, type[Value]] = {kind.kind: kind for kind in (Dataset, Environment, Model, Program, Scores)}


def find_folder(start: Path | None = None) -> Path | None:
    """The nearest `.lichen` at or above a folder; `$LICHEN_STORE` overrides."""
    if os.environ.get("LICHEN_STORE"):
        return Path(os.environ["LICHEN_STORE"]).absolute()
    start = (start or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        if is_store(folder / FOLDER):
            return folder / FOLDER
    return None


def is_store(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("lichen.db", TEAM))


class Store:
    """One store on this machine.

    Args:
        folder: its `.lichen` folder; created when missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError("a store must be a folder; this is a file", where=str(self.folder))
        self.is_readonly = self.folder.is_dir() and not os.access(self.folder, os.W_OK)
        try:
            if not self.is_readonly:
                for name in ("objects", "tmp", "runs", "locks"):
                    make_folder(self.folder / name)
        except OSError as error:
            failure = disk_error(error, Path(error.filename or self.folder))
            raise MachineError(
                f"a store cannot be made here: {failure.message}", where=failure.where
            ) from error
        self.objects, self.records, self.locks = self._parts()
        self.names, self.places = Names(self), Places(self.records)
        self.unfinished = Unfinished(self.folder / "unfinished", self.records)
        self.added_bytes = 0
        if not self.is_readonly:
            self.objects.sweep(older_than_s=3600.0)
        code.MEMO.open(self.folder / "code.json")

    def _parts(self) -> tuple[Objects, Records, Locks]:
        """This folder's own, or those that `team.json` names."""
        if self.is_shared:
            from lichen.core import team

            return team.parts(self.folder)
        records = SQLite(self.folder / "lichen.db", is_readonly=self.is_readonly)
        return Objects(self.folder), records, FileLocks(self.folder)

    @property
    def is_shared(self) -> bool:
        """Whether it is a team's."""
        return (self.folder / TEAM).is_file()

    @property
    def index_path(self) -> Path:
        return self.folder / "index.db"

    # values

    def keep(self, value: Value) -> Value:
        """Writes a value's blobs and manifest; returns it reading from here."""
        with self.adding():
            self._put_blobs(value)
            with self.records.transaction():
                self._insert(value)
        return value.with_blobs(self.objects)

    def _put_blobs(self, value: Value) -> None:
        for blob in value.blob_names():
            if value.blobs is not self.objects or blob not in self.objects:
                self.added_bytes += self.objects.put(blob, value.blobs.get(blob))

    def adding(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """Blobs that are put while this is held are not collected before their records are written.

        Args:
            alone: waits until nobody adds, and keeps all others from it: for the collector.

        Raises:
            MachineError: the store is read-only.
        """
        if self.is_readonly:
            raise MachineError(
                "the store is read-only", where=str(self.folder), hint="chmod it, or --store another"
            )
        return self.locks.adding(alone=alone)

    def has(self, value: Value) -> bool:
        return self.records.row("SELECT 1 FROM vals WHERE digest = ?", [value.digest]) is not None

    def _insert(self, value: Value) -> None:
        manifest = canonical(value.manifest).decode()
        self.records.insert("vals", digest=value.digest, kind=value.kind, manifest=manifest, created=now())
        if isinstance(value, Dataset) and value.root:
            self.places.keep(value.digest, value.root)

    def value(self, digest: str, made: Made | None = None) -> Value:
        """The stored value of a digest.

        Raises:
            NotFoundError: it is not here.
        """
        row = self.records.row("SELECT kind, manifest FROM vals WHERE digest = ?", [digest])
        if row is None:
            raise NotFoundError(f"value {digest[:10]} is not in the store", where=str(self.folder))
        value = KINDS[row["kind"]](manifest=json.loads(row["manifest"]), blobs=self.objects, made=made)
        if value.digest != digest:
            raise self._damaged(f"value {digest[:10]}")
        return replace(value, root=self.places.of(digest)) if isinstance(value, Dataset) else value

    def _damaged(self, what: str) -> UnsafeInputError:
        return UnsafeInputError(
            f"the record of {what} is damaged", where=self.records.where, hint="lichen store check"
        )

    # calls

    def find(self, key: str) -> Call | None:
        """The recorded call of a key whose values are here: this environment's, else the newest."""
        rows = self.records.rows(
            "SELECT id FROM calls WHERE key = ? AND NOT EXISTS (SELECT 1 FROM outputs LEFT JOIN vals "
            "ON vals.digest = outputs.digest WHERE outputs.call = calls.id AND vals.digest IS NULL) "
            "ORDER BY machine = ? DESC, created DESC LIMIT 1", [key, machine.fingerprint()],
        )  # fmt: skip
        call = self.call(rows[0]["id"]) if rows else None
        return call if call is not None and self._holds(call) else None

    def _holds(self, call: Call) -> bool:
        """Whether every blob of a call's outputs is there; what was lost is computed again."""
        values = [self.value(digest) for digest in call.outputs.values()]
        return all(blob in self.objects for value in values for blob in value.blob_names())

    def call(self, id: str, known: dict[str, Call] | None = None) -> Call:
        """A recorded call with the calls behind it."""
        known = {} if known is None else known
        if id not in known:
            row = self.records.row("SELECT record, checksum FROM calls WHERE id = ?", [id])
            if row is None:
                raise NotFoundError(f"call {id[:10]} is not in the store")
            if digest_bytes(row["record"].encode()) != row["checksum"]:
                raise self._damaged(f"call {id[:10]}")
            record = json.loads(row["record"])
            for ref in record["inputs"].values():
                if ref["call"]:
                    self.call(ref["call"], known)
            known[id] = from_record(record, known)
        return known[id]

    def write(
        self, call: Call, inputs: Sequence[Value], outputs: Sequence[Value], detail: code.Code | None
    ) -> None:
        """Keeps a finished call, its outputs and inputs from elsewhere: blobs first, then one transaction."""
        with self.adding():
            values = [*(value for value in inputs if not self.has(value)), *outputs]
            for value in values:
                self._put_blobs(value)
            with self.records.transaction():
                for value in values:
                    self._insert(value)
                self.write_call(call, detail)
                self.records.execute("DELETE FROM checkpoints WHERE key = ?", [call.key])
        self.unfinished.forget(call.key)

    def write_call(self, call: Call, detail: code.Code | None) -> None:
        """Inserts a call's rows, and those of calls behind it that are not here; inside a transaction."""
        for parent in call.parents():
            if self.records.row("SELECT 1 FROM calls WHERE id = ?", [parent.id]) is None:
                self.write_call(parent, None)
        record = json.dumps(call.record(), sort_keys=True)
        self.records.insert(
            "calls",
            id=call.id,
            key=call.key,
            step=call.step,
            machine=machine.name_of(call.environment),
            run=call.run,
            created=now(),
            record=record,
            checksum=digest_bytes(record.encode()),
        )
        for name, digest in call.outputs.items():
            self.records.insert("outputs", call=call.id, field=name, digest=digest)
        for ref in call.inputs.values():
            self.records.insert("readers", call=call.id, digest=ref.digest)
        if detail is not None:
            detail_json = {"modules": dict(detail.modules), "packages": dict(detail.packages)}
            self.records.insert("codes", digest=call.code, detail=detail_json)

    def origin(self, digest: str) -> Made | None:
        """The newest call that made a digest."""
        row = self.records.row(
            "SELECT call, field FROM outputs JOIN calls ON calls.id = outputs.call "
            "WHERE digest = ? ORDER BY created DESC LIMIT 1", [digest],
        )  # fmt: skip
        return Made(self.call(row["call"]), row["field"]) if row else None

    def readers(self, digest: str) -> list[Call]:
        """Calls that took a value as input."""
        rows = self.records.rows("SELECT call FROM readers WHERE digest = ?", [digest])
        return [self.call(row["call"]) for row in rows]

    def detail(self, code_digest: str) -> Mapping[str, Mapping[str, str]]:
        row = self.records.row("SELECT detail FROM codes WHERE digest = ?", [code_digest])
        return json.loads(row["detail"]) if row else {"modules": {}, "packages": {}}

    # what people type

    def resolve(self, text: str) -> Value:
        """A value by name (`digits`, `digits@prod`) or by the start of its digest (4 characters or more).

        Raises:
            NotFoundError: nothing or more than one has it; with the nearest name.
        """
        return self.names.resolve(text)

    # leases

    def lease(self, key: str) -> AbstractContextManager[None]:
        """Holds a key while it is computed; others wait, and it is free at once when the holder dies.

        Raises:
            MachineError: the store is read-only.
        """
        if self.is_readonly:
            raise MachineError("the store is read-only", where=str(self.folder))
        return self.locks.lease(key)

    def close(self) -> None:
        code.MEMO.save()
        self.locks.close()
        self.records.close()
