"""splits: which row belongs to train, validation and test, decided by the row alone.

A row's place is a function of its own digest, or of its group's, so new rows never move old ones, and equal
rows stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lichen.core.dataset import SPLITS
from lichen.core.errors import DataError, OptionError, nearest
from lichen.data.draws import mix
from lichen.data.labels import as_text
from lichen.data.scan import Part

VALIDATION_SALT, TEST_SALT, LIMIT_SALT = 0x76616C, 0x746573, 0x6C696D
JUDGES = (("validation", ("test",)), ("train", ("validation", "test")))
"""Each split and those that judge what is learnt from it, in the order in which rows leave."""
Alike = Callable[[Part, list[Part]], np.ndarray]
"""bool (N,): whether each row stands in one of some other parts."""


def places(rows: Part, salt: int) -> np.ndarray:
    """float64 (N,) uniform in [0, 1), a function of each row's content, or of its group."""
    ids = rows.ids if rows.groups is None else rows.groups
    return (mix(ids.view(np.int64) ^ salt) >> 11 & (2**53 - 1)) * 2.0**-53


def carve(parts: Mapping[str, Part], *, validation: float = 0.1, test: float = 0.2) -> dict[str, Part]:
    """Fills in the missing ones of validation and test from train; those that exist are left alone.

    Args:
        validation: share of train rows that become validation when there is none; 0 carves none.
        test: the same for test.

    Raises:
        DataError: no train rows are left.
    """
    found = {name: parts[name] for name in SPLITS if name in parts and parts[name].num_rows}
    if "train" not in found:  # a set to be judged on, such as shifted test pictures
        return found
    for name, share, salt in (("test", test, TEST_SALT), ("validation", validation, VALIDATION_SALT)):
        if name not in found and share > 0:
            train = found["train"]
            is_taken = places(train, salt) < share
            if is_taken.any():
                found[name] = train.take(np.flatnonzero(is_taken))
            found["train"] = train.take(np.flatnonzero(~is_taken))
    if found["train"].num_rows == 0:
        raise DataError(
            "no train rows are left after validation and test are carved", hint="make their shares smaller"
        )
    return {name: found[name] for name in SPLITS if name in found}


def told(rows: Part, splits: Sequence[str]) -> dict[str, Part]:
    """The rows of each split, where the caller says which it is.

    Raises:
        DataError: there are more or fewer of them than rows.
        OptionError: one is no split.
    """
    named = np.asarray(list(splits))
    if len(named) != rows.num_rows:
        raise DataError(f"there must be one split per row: {rows.num_rows} rows, {len(named)} splits")
    for name in np.unique(named):
        if name not in SPLITS:
            raise OptionError(
                f"a split must be train, validation or test, not `{name}`", hint=nearest(str(name), SPLITS)
            )
    return {name: rows.take(np.flatnonzero(named == name)) for name in SPLITS if (named == name).any()}


@dataclass(frozen=True, slots=True)
class Apart:
    """Parts without rows in common, and how many rows left each."""

    parts: dict[str, Part]
    dropped: dict[str, int] = field(default_factory=dict)


def shared(rows: Part, others: list[Part]) -> np.ndarray:
    """bool (N,): whether the content of a row also stands in one of the others."""
    if not others:
        return np.zeros(rows.num_rows, dtype=bool)
    return np.isin(rows.ids, np.concatenate([other.ids for other in others]))


def related(rows: Part, others: list[Part]) -> np.ndarray:
    """bool (N,): whether the content of a row, or any row of its group, also stands in one of the others."""
    groups = [other.groups for other in others if other.groups is not None]
    if rows.groups is None or not groups:
        return shared(rows, others)
    return shared(rows, others) | np.isin(rows.groups, np.concatenate(groups))


def separate(parts: Mapping[str, Part], alike: Alike = shared) -> Apart:
    """Drops train rows that also stand in validation or test, and validation rows in test."""
    kept, dropped = dict(parts), {}
    for name, others in JUDGES:
        if name in kept:
            is_shared = alike(kept[name], [kept[other] for other in others if other in kept])
            if is_shared.any():
                kept[name], dropped[name] = kept[name].take(np.flatnonzero(~is_shared)), int(is_shared.sum())
    for name, rows in kept.items():
        if rows.num_rows == 0:
            raise DataError(
                f"every {name} row also stands in another split", hint="duplicates='keep' leaves them in"
            )
    return Apart(kept, dropped)


def counts(parts: Mapping[str, Part], alike: Alike = shared) -> dict[str, int]:
    """How many rows of each split also stand in one that judges it; splits without any are left out."""
    found = {
        name: int(alike(parts[name], [parts[other] for other in judges if other in parts]).sum())
        for name, judges in JUDGES
        if name in parts
    }
    return {name: count for name, count in found.items() if count}


def refuse(parts: Mapping[str, Part], alike: Alike = shared) -> None:
    """Refuses rows that stand in two splits.

    Raises:
        DataError: there are such rows; says how many and shows one.
    """
    for name, judges in JUDGES:
        is_shared = (
            alike(parts[name], [parts[other] for other in judges if other in parts])
            if name in parts
            else None
        )
        if is_shared is not None and is_shared.any():
            rows, row = parts[name], int(is_shared.argmax())
            raise DataError(
                f"{int(is_shared.sum())} rows of {name} also stand in a split that judges it"
                + (", or rows of their group do" if alike is related else ""),
                where=rows.describe(row), hint="duplicates='drop' removes them",
            )  # fmt: skip


def limit(rows: Part, num_rows: int) -> Part:
    """The rows with the smallest hashes, each label in its share of the whole; in their old order."""
    if num_rows >= rows.num_rows:
        return rows
    hashes, labels = places(rows, LIMIT_SALT), np.asarray([as_text(label) for label in rows.labels])
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (num_rows / rows.num_rows)
    quota = np.floor(exact).astype(int)
    for place in np.argsort(quota - exact, kind="stable")[: num_rows - quota.sum()]:
        quota[place] += 1
    chosen = []
    for name, count in zip(classes, quota, strict=True):
        members = np.flatnonzero(labels == name)
        chosen.append(members[np.argsort(hashes[members], kind="stable")[:count]])
    return rows.take(np.sort(np.concatenate(chosen)))
