"""valuefile: one file that holds a value, its blobs and its lineage; verified when opened, never executed."""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lichen.core import form
from lichen.core.digest import canonical, digest_bytes
from lichen.core.disk import disk_error, sync_folder
from lichen.core.errors import NotFoundError, UnsafeInputError
from lichen.core.lineage import Made, from_records, records_of
from lichen.core.store import KINDS
from lichen.core.value import Memory, Value

BLOB = re.compile(r"blobs/[0-9a-f]{64}")
JSON = ("manifest.json", "lineage.json")
LINK = 0o120000 ^ 0o100000
"""The bit of a file's mode that a symbolic link has and a plain file has not."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""A fixed date in the archive: equal values give equal files."""


def write(value: Value, path: str | Path) -> Path:
    """Writes a value; an uncompressed zip of `manifest.json`, `lineage.json` and `blobs/<hash>`."""
    path = Path(path)
    lineage = {"field": value.made.field, "calls": records_of(value.made.call)} if value.made else None
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("manifest.json", EPOCH), canonical(value.manifest))
            archive.writestr(zipfile.ZipInfo("lineage.json", EPOCH), canonical(lineage))
            for blob in sorted(value.blob_names()):
                archive.writestr(zipfile.ZipInfo(f"blobs/{blob}", EPOCH), value.blobs.get(blob))
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.absolute().parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def read(path: str | Path) -> Value:
    """Opens a value file; every blob is checked against its name.

    Raises:
        NotFoundError: no such file.
        UnsafeInputError: not a value file, or one whose bytes are not what it says.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no file `{path}`")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, EOFError, OSError,
            RuntimeError, struct.error) as error:  # fmt: skip
        raise UnsafeInputError(f"this is no lichen value file, or a damaged one: {error}",
                               where=str(path)) from None  # fmt: skip


def _read(archive: zipfile.ZipFile, path: Path) -> Value:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UnsafeInputError("the file unpacks to more than its own size", where=str(path))
    memory = Memory()
    seen: set[str] = set()
    for entry in entries:
        is_known = entry.filename in JSON or BLOB.fullmatch(entry.filename)
        is_plain = entry.compress_type == zipfile.ZIP_STORED and not entry.external_attr >> 16 & LINK
        if not is_known or not is_plain or entry.filename in seen:
            raise UnsafeInputError(f"unexpected entry {ascii(entry.filename)[:120]}", where=str(path))
        seen.add(entry.filename)
        if entry.filename in JSON:
            continue
        data = archive.read(entry)
        if f"blobs/{digest_bytes(data)}" != entry.filename:
            raise UnsafeInputError(f"`{entry.filename}` is damaged", where=str(path))
        memory.put(data)
    manifest, lineage = (_json(archive.read(name)) for name in JSON)
    return _made(_value(manifest, memory, path), lineage, path)


def _json(data: bytes) -> Any:
    """JSON that can be written again: no infinities, no halves of characters."""
    thing = json.loads(data)
    canonical(thing)
    return thing


def _value(manifest: Any, memory: Memory, path: Path) -> Value:
    form.check(manifest, {blob: data.nbytes for blob, data in memory.items()})
    value = KINDS[manifest["kind"]](manifest=manifest, blobs=memory)
    missing = [blob for blob in value.blob_names() if blob not in memory]
    if missing:
        raise UnsafeInputError(f"blob {missing[0][:10]} is missing", where=str(path))
    return value


def _made(value: Value, lineage: Any, path: Path) -> Value:
    """The value with the lineage in its file."""
    if lineage is None:
        return value
    form.fit(lineage, form.LINEAGE, "lineage")
    call = from_records(lineage["calls"])
    if [one.id for one in call.history()] != [record["id"] for record in lineage["calls"]]:
        raise UnsafeInputError("the lineage in the file is damaged", where=str(path))
    if call.outputs[lineage["field"]] != value.digest:
        raise UnsafeInputError("the lineage in the file belongs to another value", where=str(path))
    return replace(value, made=Made(call, lineage["field"]))
