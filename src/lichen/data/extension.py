"""extension: train rows are joined by synthetic ones; each row then says where it comes from.

All train rows lie in a blob afterwards, as pixels or encoded as they were; the other splits stay as they are.

Shapes: N rows of train, M rows added, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import OptionError, UsageError, nearest
from lichen.core.value import Chain, Memory
from lichen.data import manifest, png
from lichen.data.scan import Part, content_of, part
from lichen.data.stored import Stored
from lichen.data.tabular import Tabular

REAL = "real"
"""Where a row comes from that no generator made."""
BETWEEN = "between real rows"
"""Where a row comes from that was made of two real ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Provenance:
    """Where rows come from: `names`, and for each row the place of its own among them, uint16 (N,)."""

    names: tuple[str, ...]
    codes: np.ndarray

    @property
    def is_real(self) -> np.ndarray:
        """bool (N,)"""
        return np.array([name == REAL for name in self.names])[self.codes]


def provenance(data: Dataset, split: str = "train") -> Provenance:
    """Where the rows of a split come from, in their order."""
    found = data.require(split).get("provenance")
    if found is None:
        return Provenance((REAL,), np.zeros(data.num_rows(split), np.uint16))
    return Provenance(tuple(found["names"]), np.frombuffer(data.blobs.get(found["blob"]), "<u2"))


def wanted(data: Dataset, ratio: float | None, ratios: Mapping[str, float]) -> np.ndarray:
    """int64 (K,): rows to add to each class.

    Args:
        ratio: to each real row of train; None: what the class, with the synthetic rows that it has already,
            has less than the most common one has real ones.
        ratios: the same for single classes.

    Raises:
        OptionError: a class is none of the data's, or its ratio is no number from 0 on.
    """
    for label, share in ratios.items():
        if label not in data.labels:
            raise OptionError(f"`{label}` in option `ratios` is no class", hint=nearest(label, data.labels))
        if not isinstance(share, int | float) or not 0 <= share < 1e6:
            raise OptionError(f"the ratio of `{label}` must be a number from 0 on, not {share!r}")
    targets_N, is_real_N = data.rows("train").targets, provenance(data).is_real
    counts_K, held_K = (
        np.bincount(some, minlength=len(data.labels)) for some in (targets_N[is_real_N], targets_N)
    )
    usual_K = np.maximum(counts_K.max() - held_K, 0) if ratio is None else counts_K * ratio
    told = zip(data.labels, counts_K, usual_K, strict=True)
    return np.rint(
        [count * ratios[label] if label in ratios else usual for label, count, usual in told]
    ).astype(np.int64)


def unjudged(data: Dataset, made_M: np.ndarray) -> np.ndarray:
    """bool (M,): whether a made row is in no split that judges: such a row would tell the answers.

    Encoded pictures are compared as they would be written.
    """
    judging = [manifest.ids(data, name) for name in data.splits if name != "train"]
    known = np.concatenate([np.zeros(0, np.uint64), *judging])
    items = _as_stored(data.rows("train"), made_M)
    contents = b"".join(content_of(item)[:8] for item in items)
    return ~np.isin(np.frombuffer(contents, "<u8"), known)


def extended(data: Dataset, made_M: np.ndarray, targets_M: np.ndarray, *, origin: str) -> Dataset:
    """The data with rows added to train.

    Args:
        made_M: uint8 (M, C, H, W) of the channels that the data has; of a table its rows as bytes (M,).
        targets_M: class numbers.
        origin: what made the rows, as their provenance says it.

    Raises:
        UsageError: there are none, or rows of train may have several labels.
    """
    rows, before = data.rows("train"), provenance(data)
    if not len(made_M):
        raise UsageError("there are no synthetic rows to add")
    if rows.targets.ndim != 1:
        raise UsageError("rows are added to data of one label each; these may have several")
    old, new = rows.encoded(np.arange(rows.num_rows)), _as_stored(rows, made_M)
    form = "pixels" if isinstance(old, np.ndarray) else "encoded"
    words = [data.labels[target] for target in targets_M.tolist()]
    added = part([content_of(item) for item in new], words, files=(), file=0, position=0)
    whole = _placed(np.concatenate([rows.digests, added.digests]), [*old, *new], form)
    memory, names = Memory(), tuple(dict.fromkeys([*before.names, origin]))
    codes = np.append(before.codes, np.full(len(new), names.index(origin))).astype("<u2")
    content = b"".join(bytes(item) if form == "encoded" else item.tobytes() for item in (*old, *new))
    entry = {
        **manifest.entry(whole, np.append(rows.targets, targets_M).astype(np.int64), memory, content),
        "reader": {"name": "arrays", "options": {"form": form}},
        "provenance": {"names": list(names), "blob": memory.put(codes.tobytes())},
        "num_synthetic": int(data.num_synthetic + len(new)),
    }
    told = {**data.manifest, "splits": {**data.splits, "train": entry}}
    return replace(data, manifest=told, blobs=Chain((memory, data.blobs)), made=None)


def _as_stored(rows: Stored, made_M: np.ndarray) -> Sequence[bytes] | np.ndarray:
    """Rows in the form in which those of a split lie: as pixels, or as bytes, of pictures as PNG files."""
    if isinstance(rows, Tabular):
        return list(made_M)
    is_pixels = isinstance(rows.encoded(np.arange(min(1, rows.num_rows))), np.ndarray)
    return made_M if is_pixels else [png.encode(pixels_CHW) for pixels_CHW in made_M]


def _placed(digests: np.ndarray, items: Sequence[bytes | np.ndarray], form: str) -> Part:
    """Rows one after the other in one blob."""
    num_rows = len(digests)
    length = np.array([len(item) if form == "encoded" else 0 for item in items], np.int64)
    position = np.cumsum(length) - length if form == "encoded" else np.arange(num_rows)
    return Part(digests=digests, labels=[""] * num_rows, files=(), file=np.zeros(num_rows, np.int64),
                position=position, length=length)  # fmt: skip
