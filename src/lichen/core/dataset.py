"""dataset: row digests per split with a reader, a schema and a policy; rows stay where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from lichen.core import find, guard
from lichen.core.digest import digest_json
from lichen.core.errors import LeakError, NotFoundError, nearest
from lichen.core.lineage import Made
from lichen.core.value import Value, count_text, find_blobs

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset(Value):
    """Rows by digest, per split.

    `manifest["splits"][name]` is `{"num_rows", "digest", "rows": {"blob"}, "index": {"blob"}}`: `rows` packs
    16 bytes per row, `index` says where the reader finds each (file and position, or offsets into a blob).
    A split whose rows lie elsewhere than those of the others names its own `reader`; `provenance` says of
    each row where it comes from, `num_synthetic` how many were drawn from a generator, and `removed` which
    rows were taken out and why.

    Args:
        root: the folder or file the rows lie under; not part of the digest. None when blobs hold them.
        allowed: the splits this view may open; a step sees those it declares.
    """

    kind: ClassVar[str] = "dataset"
    root: str | None = None
    allowed: tuple[str, ...] = SPLITS

    @property
    def splits(self) -> Mapping[str, Mapping[str, Any]]:
        return self.manifest["splits"]

    @property
    def schema(self) -> Mapping[str, Any]:
        """`{"columns": {role: column}, "labels": [...] or None, ...}` as the reader found it."""
        return self.manifest["schema"]

    @property
    def labels(self) -> list[str]:
        return list(self.schema.get("labels") or [])

    @property
    def policy(self) -> Sequence[Mapping[str, Any]]:
        """Augmentation operations applied to train rows, per batch, with per-row draws."""
        return self.manifest["policy"]

    def reader(self, split: str) -> Mapping[str, Any]:
        """`{"name", "options"}` of what reads the rows of a split."""
        return self.splits[split].get("reader") or self.manifest.get("reader") or {}

    @property
    def num_synthetic(self) -> int:
        """Train rows that were drawn from a generator."""
        return self.splits["train"].get("num_synthetic", 0) if "train" in self.splits else 0

    def num_rows(self, split: str) -> int:
        return self.splits[split]["num_rows"] if split in self.splits else 0

    def require(self, split: str) -> Mapping[str, Any]:
        """The manifest of a split that this view may open.

        Raises:
            LeakError: the step did not declare it; test opens only in `assess`.
            NotFoundError: there is no such split.
        """
        if split not in self.splits:
            raise NotFoundError(f"the data has no split `{split}`", hint=nearest(split, self.splits))
        if split not in self.allowed:
            raise LeakError(
                f"split `{split}` may not be opened here: "
                f"this step declares {', '.join(self.allowed) or 'none'}",
                hint=guard.HINT,
            )
        guard.check_open(split)
        return self.splits[split]

    def identity(self, splits: tuple[str, ...] | None = None) -> str:
        """A digest over the schema and the rows of the declared splits; the policy counts only with train."""
        names = [name for name in (splits if splits is not None else SPLITS) if name in self.splits]
        return digest_json({
            "schema": self.schema,
            "policy": self.policy if "train" in names else None,
            "splits": {name: self.splits[name]["digest"] for name in names},
        })  # fmt: skip

    def opened(self, splits: tuple[str, ...]) -> Dataset:
        """A view that may open these splits only, and of them none that is closed already."""
        allowed = tuple(name for name in splits if name in self.allowed)
        opened = {blob for name in allowed if name in self.splits for blob in find_blobs(self.splits[name])}
        closed = {
            blob: name
            for name in self.splits
            if name not in allowed
            for blob in find_blobs(self.splits[name])
            if blob not in opened
        }
        return replace(self, allowed=allowed, blobs=guard.Shut(self.blobs, closed) if closed else self.blobs)

    def with_made(self, made: Made | None) -> Self:
        """What a step has made opens all its splits, also when the step was handed a view."""
        return replace(self, made=made, allowed=SPLITS, blobs=guard.reopened(self.blobs))

    def with_policy(self, policy: Sequence[Mapping[str, Any]]) -> Dataset:
        manifest = {**self.manifest, "policy": list(policy)}
        return replace(self, manifest=manifest, made=None)

    def rows(self, split: str = "train") -> Any:
        """The rows of a split: `lichen.data.images.Images` or `lichen.data.texts.Texts`."""
        return find.load("lichen.data.rows:read")(self, split)

    def removed(self, split: str = "train") -> list[dict[str, Any]]:
        """Of each row that was taken out of a split: its place and digest, and for which row it left."""
        return find.load("lichen.data.near.removal:removed")(self, split)

    def facts(self) -> dict[str, str]:
        facts = {name: count_text(self.num_rows(name)) for name in SPLITS if name in self.splits}
        if self.num_synthetic:
            facts["synthetic"] = count_text(self.num_synthetic)
        if num_removed := sum(split.get("removed", {}).get("num_rows", 0) for split in self.splits.values()):
            facts["removed"] = count_text(num_removed)
        if self.labels:
            facts["labels"] = str(len(self.labels))
        if self.policy:
            facts["policy"] = "+".join(entry["op"] for entry in self.policy)
        return facts
