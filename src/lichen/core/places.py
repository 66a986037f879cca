"""places: where the rows of datasets were last seen; they stay where they are, and may have moved since."""

from __future__ import annotations

import os
from collections.abc import Iterable

from lichen.core.lineage import Call
from lichen.core.records import Records, now


class Places:
    """Folders by dataset, newest first."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def of(self, digest: str) -> str | None:
        """Where a dataset's rows were last seen and something still is."""
        rows = self.records.rows("SELECT root FROM places WHERE digest = ? ORDER BY at DESC", [digest])
        roots = [row["root"] for row in rows]
        return next((root for root in roots if os.path.exists(root)), roots[0] if roots else None)

    def keep(self, digest: str, root: str) -> None:
        self.records.replace("places", digest=digest, root=root, at=now())

    def note(self, call: Call, roots: Iterable[str]) -> None:
        """Remembers where the rows of a found dataset lie now: its source may have moved since."""
        for name, kind in call.kinds.items():
            for root in roots if kind == "dataset" else ():
                if self.of(call.outputs[name]) != root:
                    self.keep(call.outputs[name], root)
