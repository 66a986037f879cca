"""index: content digests of files and folders by their stats, so that what is unchanged is not read again.

A file is known by (device, inode, size, mtime, ctime). Git's rule for racy files: a digest is trusted only
when the file's times were older by MARGIN_NS than the moment it was hashed; otherwise a later write could
carry equal times. Names that begin with a dot do not count.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lichen.core.digest import digest_file
from lichen.core.errors import NotFoundError
from lichen.data.files import reading

Answer = TypeVar("Answer")
MARGIN_NS = 2_000_000_000
"""The coarsest clock of a file system in use (FAT: 2 s)."""

TABLES = """
create table if not exists files(device int, inode int, size int, mtime int, ctime int, hashed int, sha text,
    primary key(device, inode)) without rowid;
create table if not exists trees(path text primary key, signature text, newest int, hashed int, digest text,
    num_files int, size int) without rowid;
"""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file by its name relative to the tree."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TreeDigest:
    """A file or folder: `digest` covers names and contents, not where it lies."""

    digest: str
    num_files: int
    size_bytes: int


def tree(path: Path, index: Path | None = None, *, verify: bool = False) -> TreeDigest:
    """The digest of a file or folder; an unchanged folder costs one stat per file and one look-up.

    Args:
        index: the SQLite file of known digests; None keeps nothing.
        verify: hash everything, trusting no stat.

    Raises:
        NotFoundError: nothing is there.
        MachineError: something in it may not be read; names it.
    """
    now, entries = time.time_ns(), _entries(path)
    signature = _signature(entries)

    def digested(base: sqlite3.Connection) -> TreeDigest:
        if not verify and (known := _known_tree(base, path, signature)):
            return known
        digest = _digest(_files(base, path, entries, verify=verify))
        newest = max((max(info.st_mtime_ns, info.st_ctime_ns) for _, info in entries), default=0)
        base.execute(
            "insert or replace into trees values(?,?,?,?,?,?,?)",
            (os.fspath(path), signature, newest, now, digest.digest, digest.num_files, digest.size_bytes),
        )
        return digest

    return _indexed(index, digested)


def listing(path: Path, index: Path | None = None) -> tuple[FileDigest, ...]:
    """Every file of a tree with its digest, in name order."""
    entries = _entries(path)
    return _indexed(index, lambda base: tuple(_files(base, path, entries, verify=False)))


def _indexed(index: Path | None, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """What work answers with the index, or without: a damaged one, or a full disk, costs time alone."""
    try:
        with _opened(index) as base:
            return work(base)
    except sqlite3.DatabaseError as error:
        if index and not isinstance(error, sqlite3.OperationalError):
            index.unlink(missing_ok=True)
        with _opened(None) as base:
            return work(base)


def _entries(path: Path) -> list[tuple[str, os.stat_result]]:
    if not path.exists():
        raise NotFoundError("there is no such file or folder", where=str(path))
    with reading(path):
        if not path.is_dir():
            return [(path.name, path.stat())]
        return sorted(_walk(os.fspath(path), "", set()))


def _walk(folder: str, prefix: str, above: set[tuple[int, int]]) -> Iterator[tuple[str, os.stat_result]]:
    here = os.stat(folder)
    if (here.st_dev, here.st_ino) in above:  # a link to a folder above itself
        return
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {(here.st_dev, here.st_ino)})
            elif stat.S_ISREG((info := os.stat(entry.path)).st_mode):
                yield prefix + entry.name, info


def _signature(entries: list[tuple[str, os.stat_result]]) -> str:
    text = "\n".join(
        f"{name}\0{i.st_size} {i.st_mtime_ns} {i.st_ctime_ns} {i.st_ino} {i.st_dev}" for name, i in entries
    )
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _known_tree(base: sqlite3.Connection, path: Path, signature: str) -> TreeDigest | None:
    row = base.execute(
        "select digest, num_files, size from trees where path = ? and signature = ? and newest < hashed - ?",
        (os.fspath(path), signature, MARGIN_NS),
    ).fetchone()
    return TreeDigest(*row) if row else None


def _files(
    base: sqlite3.Connection, path: Path, entries: list[tuple[str, os.stat_result]], *, verify: bool
) -> list[FileDigest]:
    """Digests of all entries: looked up where the stat vouches for the content, else hashed and noted."""
    known = {} if verify else _known_files(base, entries)
    missing = [(name, info) for name, info in entries if name not in known]
    is_folder, now = path.is_dir(), time.time_ns()
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        fresh = list(pool.map(lambda entry: _hash(path / entry[0] if is_folder else path), missing))
    base.executemany(
        "insert or replace into files values(?,?,?,?,?,?,?)",
        [
            (i.st_dev, _signed(i.st_ino), i.st_size, i.st_mtime_ns, i.st_ctime_ns, now, sha)
            for (_, i), sha in zip(missing, fresh, strict=True)
        ],
    )
    known.update((name, sha) for (name, _), sha in zip(missing, fresh, strict=True))
    return [FileDigest(name, known[name], info.st_size) for name, info in entries]


def _known_files(base: sqlite3.Connection, entries: list[tuple[str, os.stat_result]]) -> dict[str, str]:
    known: dict[str, str] = {}
    query = (
        "select sha from files where device = ? and inode = ? and size = ? and mtime = ? and ctime = ?"
        " and max(mtime, ctime) < hashed - ?"
    )
    for name, i in entries:
        key = (i.st_dev, _signed(i.st_ino), i.st_size, i.st_mtime_ns, i.st_ctime_ns, MARGIN_NS)
        if row := base.execute(query, key).fetchone():
            known[name] = row[0]
    return known


def _signed(inode: int) -> int:
    """SQLite holds signed 64-bit numbers; some file systems use all 64 bits."""
    return inode - 2**64 if inode >= 2**63 else inode


def _hash(path: Path) -> str:
    with reading(path):
        return digest_file(path)


def _digest(files: list[FileDigest]) -> TreeDigest:
    text = "\n".join(f"{file.name}\0{file.sha256} {file.size_bytes}" for file in files)
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()
    return TreeDigest(digest, len(files), sum(file.size_bytes for file in files))


class _opened:
    """A connection to the index that is committed and closed at the end."""

    def __init__(self, index: Path | None) -> None:
        if index:
            index.parent.mkdir(parents=True, exist_ok=True)
        self.base = sqlite3.connect(index or ":memory:", timeout=30)
        self.base.executescript(
            ("pragma journal_mode=wal; pragma synchronous=normal;" if index else "") + TABLES
        )

    def __enter__(self) -> sqlite3.Connection:
        return self.base

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.base.commit()
        finally:
            self.base.close()
