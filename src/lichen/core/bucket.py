"""bucket: a team's blobs in an fsspec file system (S3 and others), those in use kept beside the store."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from lichen.core.digest import short
from lichen.core.errors import MachineError, NotFoundError, missing_package
from lichen.core.objects import EMPTY, Objects

WRITTEN = ("LastModified", "last_modified", "mtime", "created")
"""What file systems call the time of the last write."""


class Bucket(Objects):
    """Blobs in a bucket; the folder is a cache that may be emptied at any time.

    Args:
        folder: the local `.lichen`.
        url: as `s3://bucket/prefix`; credentials and endpoints as fsspec's file system finds them.
    """

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url = url.rstrip("/")
        try:
            import fsspec
        except ImportError:
            raise missing_package("fsspec", "team") from None
        try:
            self.files, self.root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise missing_package(error.name or "s3fs", "team") from None
        except ValueError as error:
            raise MachineError(f"this is no bucket: {error}", where=url, hint="s3://bucket/prefix") from None

    def place(self, blob: str) -> str:
        return f"{self.url}/{blob[:2]}/{blob[2:]}"

    def _key(self, blob: str) -> str:
        return f"{self.root}/{blob[:2]}/{blob[2:]}"

    def __contains__(self, blob: str) -> bool:
        if blob == EMPTY:
            return True
        with self._telling(blob):
            return self.files.exists(self._key(blob))

    def _map(self, blob: str) -> memoryview:
        """The local copy, fetched when it is not there."""
        if blob != EMPTY and not self.path(blob).is_file():
            data = self.raw(blob)
            self.path(blob).parent.mkdir(parents=True, exist_ok=True)
            part = self.temporary / uuid.uuid4().hex
            try:
                self._write(part, data)
                os.replace(part, self.path(blob))
            finally:
                part.unlink(missing_ok=True)
        return super()._map(blob)

    def raw(self, blob: str) -> memoryview:
        if blob == EMPTY:
            return memoryview(b"")
        with self._telling(blob):
            return memoryview(self.files.cat_file(self._key(blob)))

    def put(self, blob: str, data: memoryview) -> int:
        super().put(blob, data)
        if blob in self:
            return 0
        with self._telling(blob):
            self.files.makedirs(os.path.dirname(self._key(blob)), exist_ok=True)
            self.files.pipe_file(self._key(blob), bytes(data))
        return data.nbytes

    def __iter__(self) -> Iterator[str]:
        with self._telling(""):
            found = self.files.find(self.root) if self.files.exists(self.root) else []
        for name in sorted(found):
            yield "".join(name.split("/")[-2:])

    def facts(self, blob: str) -> tuple[int, float]:
        with self._telling(blob):
            info = self.files.info(self._key(blob))
        moments = [_seconds(info[name]) for name in WRITTEN if name in info]
        return int(info["size"]), moments[0] if moments else time.time()

    def set_aside(self, blob: str) -> str:
        self._forget(blob)
        aside = f"{self.root}-damaged/{blob}"
        with self._telling(blob):
            self.files.makedirs(os.path.dirname(aside), exist_ok=True)
            self.files.mv(self._key(blob), aside)
        return f"{self.url}-damaged/{blob}"

    def remove(self, blob: str) -> int:
        size_bytes, _ = self.facts(blob)
        self._forget(blob)
        with self._telling(blob):
            self.files.rm_file(self._key(blob))
        return size_bytes

    def _forget(self, blob: str) -> None:
        self._mapped.pop(blob, None)
        with suppress(FileNotFoundError):
            self.path(blob).unlink()

    @contextmanager
    def _telling(self, blob: str) -> Iterator[None]:
        """Says what the file system says, whatever kind of error it has for that."""
        try:
            yield
        except FileNotFoundError:
            raise NotFoundError(f"blob {short(blob)} is gone", where=self.place(blob)) from None
        except MemoryError:
            raise
        except Exception as error:
            raise MachineError(f"the team's bucket: {error}", where=self.url) from error


def _seconds(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
