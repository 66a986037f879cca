"""team: a store whose records are in PostgreSQL and whose blobs are in a bucket, found from a local folder.

Each member has a `.lichen` of their own with events, indexes and a cache of blobs; values, calls, names and
leases are shared. The local part may be deleted at any time.
"""

from __future__ import annotations

import json
from pathlib import Path

from lichen.core.bucket import Bucket
from lichen.core.disk import make_folder, telling
from lichen.core.errors import UnsafeInputError, UsageError
from lichen.core.locks import Locks
from lichen.core.objects import Objects
from lichen.core.postgres import Postgres, PostgresLocks
from lichen.core.records import Records
from lichen.core.store import TEAM, Store


def parts(folder: Path) -> tuple[Objects, Records, Locks]:
    """What the store of a folder with a `team.json` is made of.

    Raises:
        UnsafeInputError: the file is not what `join` writes.
        MachineError: the server or the bucket cannot be reached.
    """
    path = folder / TEAM
    try:
        named = json.loads(path.read_text())
        records, objects = str(named["records"]), str(named["objects"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnsafeInputError(f"this does not say where the team's store is: {error}", where=str(path),
                               hint="lichen store join RECORDS OBJECTS") from None  # fmt: skip
    return Bucket(folder, objects), Postgres(records), PostgresLocks(records)


def join(folder: Path, records: str, objects: str) -> Store:
    """Makes a local folder part of a team's store, which is created when it is new.

    Args:
        records: as `postgresql://user@host/database`; passwords belong in ~/.pgpass.
        objects: as `s3://bucket/prefix`.

    Raises:
        UsageError: the folder holds a store of its own, or an address is of another kind.
        MachineError: the server or the bucket cannot be reached.
    """
    if (folder / "lichen.db").exists():
        raise UsageError("this folder holds a store of its own", where=str(folder),
                         hint="join from another folder, then lichen store push VALUE")  # fmt: skip
    if not records.startswith(("postgresql://", "postgres://")):
        raise UsageError(
            f"records are in PostgreSQL, not at `{records}`", hint="postgresql://user@host/database"
        )
    if "://" not in objects:
        raise UsageError(f"`{objects}` is no bucket", hint="s3://bucket/prefix")
    Bucket(folder, objects)
    Postgres(records).close()
    with telling(folder):
        make_folder(folder)
        (folder / TEAM).write_text(json.dumps({"records": records, "objects": objects}, indent=2) + "\n")
    return Store(folder)
