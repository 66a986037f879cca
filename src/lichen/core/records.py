"""records: values, calls, names and measurements as rows; here in one SQLite file (WAL)."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from lichen.core.digest import digest_bytes
from lichen.core.disk import is_full, telling
from lichen.core.errors import MachineError

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE vals (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, manifest TEXT NOT NULL,
                   created TEXT NOT NULL);
CREATE TABLE calls (id TEXT PRIMARY KEY, key TEXT NOT NULL, step TEXT NOT NULL, machine TEXT NOT NULL,
                    run TEXT NOT NULL, created TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX calls_by_key ON calls (key);
CREATE INDEX calls_by_step ON calls (step, created);
CREATE TABLE outputs (call TEXT NOT NULL, field TEXT NOT NULL, digest TEXT NOT NULL,
                      PRIMARY KEY (call, field));
CREATE INDEX outputs_by_digest ON outputs (digest);
CREATE TABLE readers (call TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (call, digest));
CREATE INDEX readers_by_digest ON readers (digest);
CREATE TABLE codes (digest TEXT PRIMARY KEY, detail TEXT NOT NULL);
CREATE TABLE names (name TEXT PRIMARY KEY, digest TEXT NOT NULL, call TEXT, field TEXT, moved TEXT NOT NULL);
CREATE TABLE name_log (id COUNTER, name TEXT NOT NULL, digest TEXT, call TEXT, field TEXT,
                       verb TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE decisions (machine TEXT NOT NULL, step TEXT NOT NULL, name TEXT NOT NULL, about TEXT NOT NULL,
                        choice TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (machine, step, name, about));
CREATE TABLE costs (digest TEXT NOT NULL, machine TEXT NOT NULL, cost TEXT NOT NULL, at TEXT NOT NULL,
                    PRIMARY KEY (digest, machine));
CREATE TABLE places (digest TEXT NOT NULL, root TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (digest, root));
CREATE TABLE checkpoints (key TEXT PRIMARY KEY, manifest TEXT NOT NULL, at TEXT NOT NULL);
"""


PRIMARY: dict[str, tuple[str, ...]] = {
    found[1]: tuple((found[3] or found[2]).replace(" ", "").split(","))
    for found in re.finditer(r"TABLE (\w+) \((\w+)[^;]*?(?:PRIMARY KEY \(([\w, ]+)\))?\);", SCHEMA)
}
"""Columns of each table's primary key."""


def now() -> str:
    """The time as rows say it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _create(records: Records) -> None:
    for statement in SCHEMA.replace("COUNTER", records.counter).split(";"):
        if statement.strip():
            records.execute(statement)


def _add_checksums(records: Records) -> None:
    """Records of calls get a checksum: an id does not cover all that they say."""
    records.execute("ALTER TABLE calls ADD COLUMN checksum TEXT NOT NULL DEFAULT ''")
    for row in records.rows("SELECT id, record FROM calls"):
        checksum = digest_bytes(row["record"].encode())
        records.execute("UPDATE calls SET checksum = ? WHERE id = ?", [checksum, row["id"]])


PATIENCE = 60.0
"""Seconds that a process waits for others to let go of the file."""

MIGRATIONS: list[Callable[[Records], None]] = [_create, _add_checksums]
"""From each version of the format to the next; an empty file is of version 0."""


class Records(Protocol):
    """The tables of one store. Statements are plain SQL with `?` for arguments."""

    where: str
    """Where they are, for people."""
    counter: str
    """The type of a column that counts rows by itself, and is their key."""

    @property
    def size_bytes(self) -> int: ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing; waits for other writers, threads of this process too."""
        ...

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[Any]: ...

    def row(self, query: str, arguments: Sequence[Any] = ()) -> Any | None: ...

    def execute(self, statement: str, arguments: Sequence[Any] = ()) -> None: ...

    def insert(self, table: str, **columns: Any) -> None:
        """Adds a row unless its primary key is there."""
        ...

    def replace(self, table: str, **columns: Any) -> None:
        """Adds a row in place of one with the same primary key."""
        ...

    def close(self) -> None: ...


class SQLite:
    """Records in one file of this machine."""

    counter = "INTEGER PRIMARY KEY"

    def __init__(self, path: Path, *, is_readonly: bool = False) -> None:
        self.path = path
        self.where = str(path)
        self._lock = threading.RLock()
        try:
            self.connection = _read_only(path) if is_readonly else _with_a_log(path)
            self.connection.row_factory = sqlite3.Row
            self._migrate(is_readonly)
        except sqlite3.Error as error:
            with telling(path), path.open("rb"):
                pass
            words = "the disk is full" if is_full(path) else f"the store's records cannot be opened: {error}"
            raise MachineError(words, where=str(path)) from error

    def _migrate(self, is_readonly: bool) -> None:
        """Brings the file to this format, whole or not at all.

        Raises:
            MachineError: it is newer than this lichen, older and may not be written, or not of lichen.
        """
        self.connection.execute("BEGIN")  # both are read of one moment: another process may be migrating
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        is_foreign = not version and self.connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        self.connection.execute("COMMIT")
        if is_foreign:
            raise MachineError("this database is not lichen's", where=str(self.path), hint="move it away")
        if version > len(MIGRATIONS):
            raise MachineError(
                f"the store is of format {version}, newer than this lichen's {len(MIGRATIONS)}",
                where=str(self.path), hint="upgrade lichen",
            )  # fmt: skip
        if version < len(MIGRATIONS) and is_readonly:
            raise MachineError(
                f"the store is read-only and of format {version}, older than this lichen's {len(MIGRATIONS)}",
                where=str(self.path), hint="open it once where it may be written",
            )  # fmt: skip
        if version < len(MIGRATIONS):
            with self.transaction():
                (version,) = self.connection.execute("PRAGMA user_version").fetchone()
                for migrate in MIGRATIONS[version:]:
                    migrate(self)
                self.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; waits for other writers, threads of this process too."""
        with self._lock, self._writing():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._reading():
            return self.connection.execute(query, arguments).fetchall()

    def row(self, query: str, arguments: Sequence[Any] = ()) -> sqlite3.Row | None:
        with self._reading():
            return self.connection.execute(query, arguments).fetchone()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise MachineError(
                f"the store's records cannot be read: {error}",
                where=str(self.path),
                hint="lichen store check",
            ) from error

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def execute(self, statement: str, arguments: Sequence[Any] = ()) -> None:
        with self._lock, self._writing():  # threads share a connection, and one may be in a transaction
            self.connection.execute(statement, arguments)

    def insert(self, table: str, **columns: Any) -> None:
        self.execute(*inserted(table, columns, is_replaced=False))

    def replace(self, table: str, **columns: Any) -> None:
        self.execute(*inserted(table, columns, is_replaced=True))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Says what SQLite says about the disk or the permissions as an error of the machine."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "readonly" in str(error):
                raise MachineError(
                    "the store is read-only", where=self.where, hint="chmod it, or --store another"
                ) from error
            words = "the disk is full" if is_full(self.path) else str(error)
            raise MachineError(
                f"the store's records cannot be written: {words}", where=self.where, hint="lichen doctor"
            ) from error

    def close(self) -> None:
        self.connection.close()


def inserted(table: str, columns: dict[str, Any], *, is_replaced: bool) -> tuple[str, list[Any]]:
    """The statement that adds a row, and its arguments; a row with its primary key stays or is replaced."""
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    keys = PRIMARY[table]
    rest = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    conflict = f"({', '.join(keys)}) DO UPDATE SET {rest}" if is_replaced else "DO NOTHING"
    values = [json.dumps(v, sort_keys=True) if isinstance(v, dict | list) else v for v in columns.values()]
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT {conflict}", values


def _with_a_log(path: Path) -> sqlite3.Connection:
    """A connection that writes to the log beside the file.

    Who comes while another process makes the log, or is the last to leave and folds it into the file, is
    told "locked" at once, whatever the timeout of the connection says: that is waited out here.
    """
    until = time.monotonic() + PATIENCE
    while True:
        connection = _connect(path, "")
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}{mode}",
        uri=True,
        isolation_level=None,
        timeout=PATIENCE,
        check_same_thread=False,
    )


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, not even the index of the log when nobody has the store open.

    Where the log holds records and its index is gone, both are read from a copy: the file alone is of old.
    """
    connection = _connect(path, "?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM meta")
    except sqlite3.OperationalError:
        connection.close()
        import shutil
        import tempfile

        log = path.with_name(f"{path.name}-wal")
        if not log.is_file() or not log.stat().st_size:
            return _connect(path, "?mode=ro&immutable=1")
        with tempfile.TemporaryDirectory(prefix="lichen-") as folder:
            for file in (path, log):
                shutil.copy(file, folder)
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            with closing(_connect(Path(folder) / path.name, "")) as copied:
                copied.backup(connection)
    return connection
