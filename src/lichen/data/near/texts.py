"""texts: rows that say nearly the same: words changed, other case or punctuation, or inside a longer row.

A row is its words without case and punctuation, where a character of a script without spaces is a word; its
shingles are all runs of three words. Rows are near when most of what either has is shared (resemblance); a
row occurs inside another when nearly all it has stands there (containment). Shingles bring together what may
be alike without comparing all with all; then the shingles of those rows are compared. Of large splits only a
few shingles of each row are held, and the rows they bring together are read once more.

Of a pair of texts the source is what would give its target away, so sources are compared.

Paper: Broder 1997, resemblance and containment.
Departs from it: the shares of what is brought together are exact, not those of a sketch.
Shapes: N rows, S shingles, J shingles of the judging split, K pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lichen.data.near import shingles
from lichen.data.near.pairs import Likeness, Pairs, near_duplicates
from lichen.data.near.shingles import Shingles
from lichen.data.texts import Texts

CROWD = 64
"""Rows that share a shingle beyond which it brings none of them together."""
NUM_VERIFIED = 4
"""Rows per judging row whose shingles are compared."""
NEAR, INSIDE = 0.4, 0.8
"""Resemblance from which rows are near: of ten words in a row one is changed; containment from which a row
occurs inside another."""
MOST_BYTES = 32_000_000
"""Whose shingles are all in memory at once: some seconds' work, a gigabyte."""
NUM_KEPT = 16
"""Shingles of a row of larger splits, those of the smallest codes. Rows that share .4 of theirs have fewer
than two of them in common once in 300 pairs, nearer ones more rarely."""
BLOCK = 100_000
"""Judging rows whose sketches are looked up at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A few shingles of each of many rows, and where the others are to be had.

    Args:
        chosen: int64 (N,) of `rows`. row: int64 (S,). code: uint64 (S,). size: int64 (N,) of all shingles.
    """

    rows: Texts
    chosen: np.ndarray
    row: np.ndarray
    code: np.ndarray
    size: np.ndarray


Prints = Shingles | Sketch


def sample(rows: Texts) -> np.ndarray:
    """int64: all rows, or of a large split those with the smallest ids up to MOST_BYTES."""
    if rows.num_bytes <= MOST_BYTES:
        return np.arange(rows.num_rows)
    order = np.argsort(rows.ids, kind="stable")
    return np.sort(order[np.cumsum(rows.located.length[order]) <= MOST_BYTES])


def searched(rows: Texts) -> np.ndarray:
    """int64: the rows among which removal looks: all."""
    return np.arange(rows.num_rows)


def fingerprints(rows: Texts, chosen: np.ndarray) -> Prints:
    """What tells the chosen rows apart: their shingles, or a sketch of these where they are many."""
    if rows.located.length[chosen].sum() <= MOST_BYTES:
        return shingles.of_rows(rows, chosen)
    found, start, sizes = [], 0, [np.zeros(0, np.int64)]
    for _, span in rows.spans(chosen):
        whole = shingles.of_texts([rows.parts(text)[0] for text in span])
        order = np.lexsort((whole.code, whole.row))
        rank_S = np.arange(len(order)) - (np.cumsum(whole.size) - whole.size)[whole.row[order]]
        kept = order[rank_S < NUM_KEPT]
        found.append((whole.row[kept] + start, whole.code[kept]))
        sizes.append(whole.size)
        start += len(span)
    row_S, code_S = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Sketch(rows, chosen, row_S, code_S, np.concatenate(sizes))


def taken(found: Prints, chosen: np.ndarray) -> Prints:
    """Those of some rows, which are numbered anew."""
    if isinstance(found, Shingles):
        return shingles.taken(found, chosen)
    number = np.full(len(found.size), -1, np.int64)
    number[chosen] = np.arange(len(chosen))
    row_S = number[found.row]
    return Sketch(
        found.rows, found.chosen[chosen], row_S[row_S >= 0], found.code[row_S >= 0], found.size[chosen]
    )


def compared(judge: Prints, rows: Prints) -> list[Likeness]:
    """How rows of two splits are alike: near, and of the others those that occur inside one.

    What occurs inside a longer row is found for certain only where all shingles are held.
    """
    left, right = _met(judge, rows)
    shared = _counted(judge, rows, left, right)
    resemblance = shared / (judge.size[left] + rows.size[right] - shared)
    is_near = resemblance >= NEAR
    containment = shared / judge.size[left]
    is_inside = (containment >= INSIDE) & ~np.isin(left, left[is_near])
    pairs = Pairs(left, right, (1 - resemblance).astype(np.float32))
    inside = Likeness(
        one="row occurs inside a row of", many="rows occur inside rows of", pairs=pairs.take(is_inside)
    )
    return [near_duplicates(pairs.take(is_near)), inside]


def _met(judge: Prints, rows: Prints) -> tuple[np.ndarray, np.ndarray]:
    """Pairs worth comparing. Of sketches those with two codes in common: many rows share one by chance."""
    if isinstance(judge, Shingles) and isinstance(rows, Shingles):
        return candidates(judge, rows)[:2]
    found = [candidates(block, rows) for block in _blocks(judge)]
    left = np.concatenate([left + start * BLOCK for start, (left, _, _) in enumerate(found)])
    right, shared = (np.concatenate([pairs[place] for pairs in found]) for place in (1, 2))
    is_short = np.minimum(judge.size[left], rows.size[right]) < NUM_KEPT
    is_worth = (shared > 1) | is_short
    if judge is rows:
        is_worth &= left != right
    return left[is_worth], right[is_worth]


def _blocks(judge: Prints) -> Iterator[Prints]:
    if isinstance(judge, Shingles) or len(judge.size) <= BLOCK:
        yield judge
        return
    for start in range(0, len(judge.size), BLOCK):
        yield taken(judge, np.arange(start, min(start + BLOCK, len(judge.size))))


def _counted(judge: Prints, rows: Prints, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 (K,): shingles that the rows of each pair have in common; those not at hand are read again."""
    if isinstance(judge, Shingles) and isinstance(rows, Shingles):
        return _shared(judge, rows, left, right)
    num_bytes = _num_bytes(judge, left) + _num_bytes(rows, right)
    found, group_K = np.zeros(len(left), np.int64), np.cumsum(num_bytes) // MOST_BYTES
    for group in np.split(np.arange(len(left)), np.flatnonzero(np.diff(group_K)) + 1):
        (lefts, one), (rights, other) = (
            np.unique(side[group], return_inverse=True) for side in (left, right)
        )
        found[group] = _shared(_whole(judge, lefts), _whole(rows, rights), one, other)
    return found


def _num_bytes(found: Prints, places: np.ndarray) -> np.ndarray:
    """int64 (K,): what has to be read."""
    if isinstance(found, Shingles):
        return np.zeros(len(places), np.int64)
    return found.rows.located.length[found.chosen[places]]


def _whole(found: Prints, places: np.ndarray) -> Shingles:
    """All shingles of some rows."""
    if isinstance(found, Shingles):
        return shingles.taken(found, places)
    return shingles.of_rows(found.rows, found.chosen[places])


def candidates(judge: Prints, rows: Prints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (left, right, what both have) int64 (K,): of each judging row the NUM_VERIFIED nearest."""
    order, asked = np.argsort(rows.code), np.argsort(judge.code)  # look-ups in order stay in the cache
    code_S, row_J = rows.code[order], judge.row[asked]
    first, last = (np.searchsorted(code_S, judge.code[asked], side) for side in ("left", "right"))
    count = np.where(last - first > CROWD, 0, last - first)
    place = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
    met = np.repeat(row_J, count) * len(rows.size) + rows.row[order[place]]
    pairs, shared = np.unique(met, return_counts=True)
    left, right = np.divmod(pairs, max(1, len(rows.size)))
    best = np.lexsort((rows.size[right], -shared, left))  # of equals the shorter
    starts = np.searchsorted(left[best], np.arange(len(judge.size)))
    chosen = best[np.arange(len(best)) - starts[left[best]] < NUM_VERIFIED]
    return left[chosen], right[chosen], shared[chosen]


def _shared(judge: Shingles, rows: Shingles, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 (K,): shingles that the rows of each pair have in common, crowded ones too."""
    by_row = np.argsort(judge.row, kind="stable")
    count = judge.size[left]
    begin = (np.cumsum(judge.size) - judge.size)[left]
    place = np.arange(count.sum()) + np.repeat(begin - (np.cumsum(count) - count), count)
    key = shingles.key(np.repeat(right, count), judge.code[by_row[place]])
    asked = np.argsort(key)
    found = np.minimum(np.searchsorted(rows.key, key[asked]), len(rows.key) - 1)
    is_there = rows.key[found] == key[asked]
    return np.bincount(np.repeat(np.arange(len(left)), count)[asked[is_there]], minlength=len(left))
