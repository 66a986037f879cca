"""unfinished: the last checkpoints of calls under way, apart from values: they go when a call is done."""

from __future__ import annotations

from pathlib import Path

from lichen.core.disk import make_folder
from lichen.core.objects import Objects
from lichen.core.records import Records


class Unfinished:
    """Blobs of checkpoints, a folder for each key."""

    def __init__(self, folder: Path, records: Records) -> None:
        self.folder, self.records = folder, records

    def objects(self, key: str) -> Objects:
        """The blobs of a call's last checkpoint."""
        for name in ("objects", "tmp"):
            make_folder(self._of(key) / name)
        return Objects(self._of(key))

    def forget(self, key: str) -> None:
        """Removes what is left of a call that is done."""
        if self._of(key).is_dir():
            _remove(self._of(key))

    def sweep(self) -> None:
        """Removes what is left of all calls that are done."""
        kept = {self._of(row["key"]) for row in self.records.rows("SELECT key FROM checkpoints")}
        for place in self.folder.glob("[0-9a-f]" * 32):
            if place not in kept:
                _remove(place)

    def _of(self, key: str) -> Path:
        return self.folder / key[:32]


def _remove(place: Path) -> None:
    import shutil  # takes as long to import as all of this file

    shutil.rmtree(place, ignore_errors=True)
