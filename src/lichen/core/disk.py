"""disk: folders that outlive a power loss, and what the operating system says, in the user's words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lichen.core.errors import MachineError

PAGE = 32 * 1024
"""The most that SQLite asks for at once, the index of its log."""


WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "a file is where a folder must be",
    errno.ENOTDIR: "a file is where a folder must be",
    errno.EISDIR: "a folder is where a file must be",
    errno.EIO: "the disk cannot be read or written",
    errno.EMFILE: "too many open files",
}


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: OSError, path: Path) -> MachineError:
    """The user's view of an operating system error."""
    words = WORDS.get(error.errno or 0, error.strerror or str(error))
    return MachineError(words, where=str(path))


def is_full(path: Path) -> bool:
    """Whether the file system of a path has no room for one more page: SQLite calls that an I/O error."""
    with suppress(OSError):
        facts = os.statvfs(path.parent)
        return facts.f_bavail * facts.f_frsize < PAGE
    return False


@contextmanager
def telling(path: Path | None) -> Iterator[None]:
    """Raises what the operating system refuses inside as a MachineError of this path."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path or Path()) from error
