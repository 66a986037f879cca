"""objects: immutable blobs on disk, named by their hash; written temp + fsync + rename, never rewritten."""

from __future__ import annotations

import mmap
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lichen.core.digest import digest_bytes, short
from lichen.core.disk import disk_error, make_folder, sync_folder
from lichen.core.errors import NotFoundError, StepError, UnsafeInputError

NAME = re.compile("[0-9a-f]{64}")
EMPTY = digest_bytes(b"")
YOUNG_S = 60.0
"""The folder of a blob that is younger than this may not have been synced by whoever wrote it."""


class Objects:
    """The blobs of one store. Every blob is re-hashed on its first use by a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "objects"
        self.temporary = folder / "tmp"
        self._mapped: dict[str, memoryview] = {}

    def path(self, blob: str) -> Path:
        return self.folder / blob[:2] / blob[2:]

    def __contains__(self, blob: str) -> bool:
        return blob == EMPTY or self.path(blob).is_file()

    def get(self, blob: str) -> memoryview:
        """The bytes of a blob, mapped read-only.

        Raises:
            NotFoundError: it is gone.
            UnsafeInputError: its bytes are not those it is named for.
        """
        if blob not in self._mapped:
            data = self._map(blob)
            if digest_bytes(data) != blob:
                raise UnsafeInputError(
                    f"blob {short(blob)} is damaged", where=str(self.path(blob)), hint="lichen store check"
                )
            self._mapped[blob] = data
        return self._mapped[blob]

    def _map(self, blob: str) -> memoryview:
        if blob == EMPTY:
            return memoryview(b"")
        try:
            with self.path(blob).open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return memoryview(b"")
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError:
            raise NotFoundError(f"blob {short(blob)} is gone", where=str(self.path(blob))) from None
        except OSError as error:
            raise disk_error(error, self.path(blob)) from error

    def put(self, blob: str, data: memoryview) -> int:
        """Writes a blob durably unless it is there; returns the bytes added.

        Raises:
            MachineError: disk full or no permission; nothing half-written stays.
            StepError: the bytes changed after they were put into a value.
        """
        if self._is_fresh(blob):
            return 0
        if digest_bytes(data) != blob:
            raise StepError("an array changed after it was put into a value",
                            hint="hand over a copy of an array that is written to again")  # fmt: skip
        target, part = self.path(blob), self.temporary / os.urandom(16).hex()
        try:
            make_folder(target.parent)
            try:
                self._write(part, data)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
            sync_folder(target.parent)
        except OSError as error:
            raise disk_error(error, target) from error
        return data.nbytes

    def _is_fresh(self, blob: str) -> bool:
        """Whether a blob is there; a new time stamp then keeps it from a collector at work.

        One that another process wrote a moment ago may not be durable yet, so its folder is synced again.
        """
        if blob == EMPTY:
            return True
        try:
            facts = self.path(blob).stat()
            if not stat.S_ISREG(facts.st_mode):
                return False
            age_s = time.time() - facts.st_mtime
            os.utime(self.path(blob))
            if age_s < YOUNG_S:
                sync_folder(self.path(blob).parent)
        except FileNotFoundError:
            return False
        except PermissionError:
            return True  # another user's blob in a shared store
        except OSError as error:
            raise disk_error(error, self.path(blob)) from error
        return True

    def sweep(self, older_than_s: float) -> int:
        """Removes what killed writers left behind; returns the bytes freed."""
        freed = 0
        for path in self.temporary.iterdir() if self.temporary.is_dir() else ():
            with suppress(FileNotFoundError):
                facts = path.stat()
                if stat.S_ISREG(facts.st_mode) and time.time() - facts.st_mtime > older_than_s:
                    path.unlink()
                    freed += facts.st_size
        return freed

    def _write(self, part: Path, data: memoryview) -> None:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            view = data.cast("B") if data.nbytes else data
            while view.nbytes:
                view = view[os.write(descriptor, view[: 1 << 26]) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def __iter__(self) -> Iterator[str]:
        """Names of blobs; what somebody else put among them is not one."""
        for shelf in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if NAME.fullmatch(shelf.name + "0" * 62) and shelf.is_dir():
                for path in sorted(shelf.iterdir()):
                    if NAME.fullmatch(shelf.name + path.name) and path.is_file():
                        yield shelf.name + path.name

    def place(self, blob: str) -> str:
        """Where a blob is, for people."""
        return str(self.path(blob))

    def raw(self, blob: str) -> memoryview:
        """The bytes as they lie there now, whatever they are named for."""
        return self._map(blob)

    def facts(self, blob: str) -> tuple[int, float]:
        """Bytes, and seconds since the epoch when it was last written or taken up."""
        facts = self.path(blob).stat()
        return facts.st_size, facts.st_mtime

    def set_aside(self, blob: str) -> str:
        """Moves a damaged blob out of the way, so that it can be written anew."""
        self._mapped.pop(blob, None)
        place = self.folder.parent / "damaged" / blob
        place.parent.mkdir(exist_ok=True)
        os.replace(self.path(blob), place)
        return str(place)

    def remove(self, blob: str) -> int:
        """Deletes a blob and returns the bytes freed."""
        self._mapped.pop(blob, None)
        size_bytes = self.path(blob).stat().st_size
        self.path(blob).unlink()
        return size_bytes
