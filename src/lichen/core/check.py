"""check: re-hashes every blob and manifest of a store and follows every reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from lichen.core.digest import digest_bytes, digest_json, short
from lichen.core.errors import LichenError
from lichen.core.store import KINDS, Store
from lichen.core.value import find_blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is not what its name says.

    `what` is "blob", "value", "call" or "name".
    """

    what: str
    name: str
    problem: str
    where: str

    def __str__(self) -> str:
        return f"{self.what} {self.name}: {self.problem}\n  --> {self.where}"


def check(store: Store) -> list[Damage]:
    """Everything that is damaged or missing; an empty list when the store is whole.

    Damaged blobs are set aside, so that the steps that made them are computed again when they are next
    called.
    """
    return [*_blobs(store), *_values(store), *_calls(store), *_names(store)]


def _blobs(store: Store) -> Iterator[Damage]:
    for blob in store.objects:
        if digest_bytes(store.objects.raw(blob)) != blob:
            place = store.objects.place(blob) if store.is_readonly else store.objects.set_aside(blob)
            yield Damage(what="blob", name=short(blob), problem="its bytes are not those it is named for",
                         where=place)  # fmt: skip


def _values(store: Store) -> Iterator[Damage]:
    where = store.records.where
    for row in store.records.rows("SELECT digest, kind, manifest FROM vals ORDER BY digest"):
        name = short(row["digest"])
        try:
            manifest = json.loads(row["manifest"])
        except ValueError:
            yield Damage(what="value", name=name, problem="its manifest cannot be read", where=where)
            continue
        if digest_json(manifest) != row["digest"] or row["kind"] not in KINDS:
            yield Damage(
                what="value", name=name, problem="its manifest is not what it is named for", where=where
            )
        for blob in sorted(set(find_blobs(manifest))):
            if blob not in store.objects:
                yield Damage(what="value", name=name, problem=f"its blob {short(blob)} is gone",
                             where=store.objects.place(blob))  # fmt: skip


def _calls(store: Store) -> Iterator[Damage]:
    where = store.records.where
    for row in store.records.rows("SELECT id FROM calls ORDER BY id"):
        name = short(row["id"])
        try:
            call = store.call(row["id"])
        except (LichenError, LookupError, ValueError, TypeError) as error:
            yield Damage(what="call", name=name, problem=f"its record cannot be read: {error}", where=where)
            continue
        if call.id != row["id"]:
            yield Damage(
                what="call", name=name, problem="its record is not what it is named for", where=where
            )


def _names(store: Store) -> Iterator[Damage]:
    rows = store.records.rows(
        "SELECT name, names.digest FROM names LEFT JOIN vals ON vals.digest = names.digest "
        "WHERE vals.digest IS NULL"
    )
    for row in rows:
        yield Damage(what="name", name=row["name"], problem=f"its value {short(row['digest'])} is gone",
                     where=store.records.where)  # fmt: skip
