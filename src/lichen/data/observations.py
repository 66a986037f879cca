"""observations: what agents saw and did, as rows that tasks and exports read like any others.

A row is float32 numbers: those of what was seen, then those of a continuous action; a discrete one is its
label.

Shapes: N rows of the split, B rows asked for, W numbers of a row, A of a continuous action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.data import manifest, stored
from lichen.data import splits as policy
from lichen.data.scan import content_of, part


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Observations(stored.Stored):
    """One split: `shape` of what was seen, and how many numbers an action has, 0 of discrete ones."""

    shape: tuple[int, ...]
    num_numbers: int

    def __repr__(self) -> str:
        return f"Observations({self.split}: {self.num_rows} of {self.shape})"

    @property
    def is_uniform(self) -> bool:
        return True

    def fits(self, size: int | None = None) -> bool:
        return 4 * self.num_rows * (prod(self.shape) + self.num_numbers) <= stored.RESIDENT_BYTES

    def whole(self, size: int | None = None) -> np.ndarray:
        """float32 (N, ...): what was seen, read once per process: to be read, never written."""
        return self._rows()[:, : prod(self.shape)].reshape(-1, *self.shape)

    def batch(self, indices: Any, size: int | None = None) -> np.ndarray:
        """float32 (B, ...) of some rows."""
        return self.whole()[np.asarray(indices, dtype=np.int64)]

    def actions(self) -> np.ndarray:
        """int64 (N,) of discrete actions, float32 (N, A) of continuous ones."""
        return self._rows()[:, prod(self.shape) :] if self.num_numbers else self.targets

    def _rows(self) -> np.ndarray:
        return stored.KEPT.made((self.identity, self.split, "observations"), self._read)

    def _read(self) -> np.ndarray:
        found = np.asarray(self.encoded(np.arange(self.num_rows)))
        return np.ascontiguousarray(found).view("<f4").astype(np.float32, copy=False)


def dataset(
    seen: Mapping[str, np.ndarray],
    actions: Mapping[str, np.ndarray],
    *,
    labels: Sequence[str] | None = None,
    low: Sequence[float] = (),
    high: Sequence[float] = (),
    keeps_duplicates: bool = False,
) -> Dataset:
    """A Dataset of what was seen, (N, ...) by split, and done there.

    Args:
        actions: int (N,) of discrete ones, or float (N, A): -1 is the low bound of an action, 1 the high one.
        labels: names of discrete actions.
        low: of a continuous action. high: likewise.
        keeps_duplicates: rows may stand in two splits; else they are dropped from the one that is judged.

    Raises:
        DataError: a split has no rows.
    """
    packed = {name: _packed(seen[name], actions[name] if low else None) for name in seen}
    parts = {}
    for name, rows in packed.items():
        words = [labels[action] for action in actions[name]] if labels else [""] * len(rows)
        parts[name] = part([content_of(row) for row in rows], words, files=(), file=0,
                           position=np.arange(len(rows)))  # fmt: skip
    apart = parts if keeps_duplicates else policy.separate(parts).parts
    kept = {name: packed[name][rows.position] for name, rows in apart.items()}
    placed = {name: replace(rows, position=np.arange(rows.num_rows)) for name, rows in apart.items()}
    columns = {"observation": "seen", **({"label": "action"} if labels else {})}
    shape = next(iter(seen.values())).shape[1:]
    return manifest.dataset(
        placed, reader="arrays", options={"form": "numbers"}, columns=columns, shape=None, names=labels,
        contents={name: rows.tobytes() for name, rows in kept.items()},
        observation={"shape": list(shape), "low": list(low), "high": list(high)},
    )  # fmt: skip


def _packed(seen: np.ndarray, actions: np.ndarray | None) -> np.ndarray:
    """uint8 (N, 4 W): the bytes of each row."""
    if not len(seen):
        raise DataError("there must be at least one row of what was seen")
    columns = [seen.reshape(len(seen), -1), *([] if actions is None else [actions])]
    return np.concatenate(columns, 1).astype("<f4").view(np.uint8)
