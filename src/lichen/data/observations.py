"""observations: what agents saw and did, as rows that tasks and exports read like any others.

A row is float32 numbers: those of what was seen, then those of a continuous action; a discrete one is its
label.

Shapes: N rows of the split, B rows asked for, W numbers of a row, A of a continuous action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, OptionError
from lichen.data import manifest, stored
from lichen.data import splits as policy
from lichen.data import targets as targets_of
from lichen.data.labels import Label
from lichen.data.scan import Part, content_of, grouped, part


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


def observations(
    seen: Any,
    actions: Any,
    labels: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    *,
    low: float | Sequence[float] | None = None,
    high: float | Sequence[float] | None = None,
    episodes: Any = None,
    validation: float = 0.1,
    test: float = 0.2,
    duplicates: Literal["drop", "keep"] = "drop",
) -> Dataset:
    """A Dataset of what an agent saw and did, such as a log; rows are copied into its blobs.

    Args:
        seen: (N, ...) numbers.
        actions: (N,) whole numbers or words of discrete ones, or (N, A) floats of continuous ones.
        labels: names of discrete actions in order; None: the numbers up to the highest, or the sorted words.
        splits: the split of each row; None: validation and test are carved by hash.
        low: bounds of continuous actions, one for all or one each. high: likewise.
        episodes: (N,) numbers or names: the rows of one episode stay in one split.
        duplicates: of rows that stand in two splits: drop them from the one that is judged, or keep them: of
            a world with few states none would be left.

    Raises:
        DataError: lengths differ, a number is none, an action is no label or out of bounds; names the row.
        OptionError: continuous actions without bounds, or episodes beside splits.
    """
    seen_N, done_N = _numbers(seen, "seen"), np.asarray(actions)
    if seen_N.ndim < 2 or len(seen_N) != len(np.atleast_1d(done_N)):
        raise DataError("there must be one action per row seen, (N, ...); they are of shapes "
                        f"{seen_N.shape} and {done_N.shape}")  # fmt: skip
    names: list[str] | None = None
    lows, highs, shares_NA = list[float](), list[float](), None
    if done_N.dtype.kind == "f":
        lows, highs, shares_NA = _shares(_numbers(done_N, "actions").reshape(len(done_N), -1), low, high)
        words: list[Label] = [""] * len(done_N)
    else:
        names = _names(done_N, labels)
        words = targets_of.words(done_N, names)
    packed = _packed(seen_N, shares_NA)
    rows = part([content_of(row) for row in packed], words, files=(), file=0, position=np.arange(len(packed)))
    parts = _divided(rows, splits, episodes, validation, test)
    kept = parts if duplicates == "keep" else policy.separate(parts).parts
    return _written(kept, dict.fromkeys(kept, packed), seen_N.shape[1:], names, lows, highs)


def _numbers(given: Any, name: str) -> np.ndarray:
    """float32 (N, ...).

    Raises:
        DataError: there are none, or one is not finite; names its row.
    """
    try:
        found = np.atleast_1d(given).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"`{name}` must be numbers: {error}") from None
    if not found.size:
        raise DataError(f"there must be at least one row; `{name}` is empty")
    is_odd = ~np.isfinite(found.reshape(len(found), -1)).all(1)
    if is_odd.any():
        raise DataError("numbers must be finite", where=f"{name}, row {int(is_odd.argmax())}")
    return found


def _shares(
    actions_NA: np.ndarray, low: float | Sequence[float] | None, high: float | Sequence[float] | None
) -> tuple[list[float], list[float], np.ndarray]:
    """The bounds of each number of an action, and float32 (N, A) between -1 and 1."""
    if low is None or high is None:
        raise OptionError("continuous actions need bounds", hint="low=-1.0, high=1.0")
    width = actions_NA.shape[1]
    try:
        low_A, high_A = (np.broadcast_to(np.asarray(one, np.float32), width) for one in (low, high))
    except (TypeError, ValueError):
        raise OptionError(
            f"`low` and `high` must be a number, or {width}, not {low!r} and {high!r}"
        ) from None
    if not (low_A < high_A).all():
        raise OptionError(f"`low` must be below `high`; they are {low!r} and {high!r}")
    is_out = ((actions_NA < low_A) | (actions_NA > high_A)).any(1)
    if is_out.any():
        raise DataError("an action must be within its bounds", where=f"actions, row {int(is_out.argmax())}")
    shares_NA = 2.0 * (actions_NA - low_A) / (high_A - low_A) - 1.0
    return low_A.tolist(), high_A.tolist(), shares_NA


def _names(actions_N: np.ndarray, labels: Sequence[str] | None) -> list[str]:
    """What discrete actions are called: numbers as those of environments are."""
    if actions_N.ndim != 1:
        raise DataError(f"a discrete action must be one number or word, not of shape {actions_N.shape[1:]}",
                        hint="floats are continuous actions")  # fmt: skip
    if labels is not None:
        return [str(label) for label in labels]
    if actions_N.dtype.kind in "iu":
        return [str(action) for action in range(int(actions_N.max()) + 1)]
    return sorted({str(action) for action in actions_N.tolist()})


def _divided(
    rows: Part, splits: Sequence[str] | None, episodes: Any, validation: float, test: float
) -> dict[str, Part]:
    if splits is not None and episodes is not None:
        raise OptionError("`splits` say where each row belongs, so there can be no `episodes` beside them")
    if splits is not None:
        return policy.told(rows, splits)
    together = None if episodes is None else [str(one) for one in np.asarray(episodes).tolist()]
    if together is not None and len(together) != rows.num_rows:
        raise DataError(f"there must be one episode per row: {rows.num_rows} rows, {len(together)} episodes")
    return policy.carve({"train": grouped(rows, together)}, validation=validation, test=test)


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
    kept = parts if keeps_duplicates else policy.separate(parts).parts
    return _written(kept, packed, next(iter(seen.values())).shape[1:], labels, low, high)


def _written(
    parts: Mapping[str, Part], packed: Mapping[str, np.ndarray], shape: Sequence[int],
    labels: Sequence[str] | None, low: Sequence[float], high: Sequence[float],
) -> Dataset:  # fmt: skip
    """The rows of each part in its own order."""
    contents = {name: packed[name][rows.position].tobytes() for name, rows in parts.items()}
    placed = {name: replace(rows, position=np.arange(rows.num_rows)) for name, rows in parts.items()}
    columns = {"observation": "seen", **({"label": "action"} if labels else {})}
    return manifest.dataset(
        placed, reader="arrays", options={"form": "numbers"}, columns=columns, shape=None, names=labels,
        contents=contents, observation={"shape": list(shape), "low": list(low), "high": list(high)},
    )  # fmt: skip


def _packed(seen: np.ndarray, actions: np.ndarray | None) -> np.ndarray:
    """uint8 (N, 4 W): the bytes of each row."""
    if not len(seen):
        raise DataError("there must be at least one row of what was seen")
    columns = [seen.reshape(len(seen), -1), *([] if actions is None else [actions])]
    return np.concatenate(columns, 1).astype("<f4").view(np.uint8)
