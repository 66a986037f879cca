"""locks: who computes a key, and who adds or collects, among the processes of one machine.

The kernel frees what a process held when it dies, so a dead holder never has to be waited for.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from lichen.core.disk import telling


class Locks(Protocol):
    """What a store locks."""

    def lease(self, key: str) -> AbstractContextManager[None]:
        """Holds a key while it is computed; others wait."""
        ...

    def adding(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """Held by all who add, together, or by one who collects, alone."""
        ...

    def busy(self) -> str | None:
        """Something that is leased now: the beginning of its key, or None."""
        ...

    def close(self) -> None: ...


class FileLocks:
    """Locks by files of a folder.

    Args:
        folder: a store's `.lichen`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def lease(self, key: str) -> Iterator[None]:
        path = self.folder / "locks" / key[:32]
        while True:
            with telling(path):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                    break
            except FileNotFoundError:
                pass
            os.close(descriptor)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    @contextmanager
    def adding(self, *, alone: bool = False) -> Iterator[None]:
        path = self.folder / "adding"
        with telling(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def busy(self) -> str | None:
        for path in sorted((self.folder / "locks").iterdir()):
            if not path.is_file():
                continue
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return path.name
                finally:
                    os.close(descriptor)
        return None

    def close(self) -> None:
        pass
