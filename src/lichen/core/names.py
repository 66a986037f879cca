"""names: movable labels on values, with history; moving one is atomic, so rollback is one command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lichen.core.errors import NotFoundError, UsageError, nearest
from lichen.core.lineage import Made
from lichen.core.records import now
from lichen.core.value import Value

if TYPE_CHECKING:
    from lichen.core.store import Store

PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?")


class Names:
    """The names of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def move(self, name: str, value: Value, *, verb: str = "promote") -> None:
        """Points a name at a value and writes it into the name's history.

        Raises:
            UsageError: the name is not letters, digits, `.`, `_`, `-` with at most one `@`.
        """
        if not PATTERN.fullmatch(name):
            raise UsageError(
                f"`{name}` cannot be a name", hint="letters, digits, . _ - and one @, as in digits@prod"
            )
        call, field = (value.made.call.id, value.made.field) if value.made else (None, None)
        with self.store.adding(), self.store.records.transaction():
            if not self.store.has(value):
                raise NotFoundError(f"value {value.id} is not in the store", where=str(self.store.folder))
            columns: dict[str, Any] = {"name": name, "digest": value.digest, "call": call, "field": field}
            self.store.records.replace("names", **columns, moved=now())
            self.store.records.insert("name_log", **columns, verb=verb, at=now())

    def all(self) -> list[dict[str, Any]]:
        """Every name with its digest, kind and when it moved."""
        rows = self.store.records.rows(
            "SELECT name, names.digest, kind, moved FROM names JOIN vals ON vals.digest = names.digest "
            "ORDER BY name"
        )
        return [dict(row) for row in rows]

    def history(self, name: str) -> list[dict[str, Any]]:
        """Where a name has pointed, oldest first."""
        rows = self.store.records.rows(
            "SELECT digest, call, field, verb, at FROM name_log WHERE name = ? ORDER BY id", [name]
        )
        if not rows:
            raise NotFoundError(f"no name `{name}`", hint=nearest(name, [row["name"] for row in self.all()]))
        return [dict(row) for row in rows]

    def rollback(self, name: str) -> Value:
        """Points a name back at what it pointed at before; twice goes back twice.

        Raises:
            UsageError: it never pointed at anything else.
        """
        stack: list[dict[str, Any]] = []
        for entry in self.history(name):
            if entry["verb"] == "rollback":
                stack.pop()
            elif not stack or stack[-1]["digest"] != entry["digest"]:
                stack.append(entry)
        if len(stack) < 2:
            raise UsageError(f"`{name}` has no earlier value to go back to")
        value = self._value(stack[-2])
        self.move(name, value, verb="rollback")
        return value

    def _value(self, entry: Any) -> Value:
        made = Made(self.store.call(entry["call"]), entry["field"]) if entry["call"] else None
        return self.store.value(entry["digest"], made)

    def resolve(self, text: str) -> Value:
        """A value by name or by the start of its digest."""
        row = self.store.records.row("SELECT digest, call, field FROM names WHERE name = ?", [text])
        if row is not None:
            return self._value(row)
        if len(text) >= 4 and all(letter in "0123456789abcdef" for letter in text):
            rows = self.store.records.rows(
                "SELECT digest FROM vals WHERE digest LIKE ? LIMIT 2", [text + "%"]
            )
            if len(rows) > 1:
                raise NotFoundError(
                    f"more than one value starts with `{text}`", hint="type more of the digest"
                )
            if rows:
                return self.store.value(rows[0]["digest"], self.store.origin(rows[0]["digest"]))
        names = [row["name"] for row in self.all()]
        if 0 < len(text) < 4 and all(letter in "0123456789abcdef" for letter in text):
            raise NotFoundError(f"no value is named `{text}`", hint="of a digest type 4 characters or more")
        raise NotFoundError(f"no value `{text}` in the store", where=str(self.store.folder),
                            hint=nearest(text, names) or "lichen models")  # fmt: skip
