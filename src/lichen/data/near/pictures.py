"""pictures: rows that show the same: encoded anew, brighter, moved, cropped or mirrored.

A row's fingerprint is the signs of 63 low waves (DCT-II) in the middle of a small grey thumbnail, which
encoding and brightness hardly change. The rows of the smaller split are fingerprinted in many positions, so
that a moved copy meets its original. Tables keyed by a few of the signs bring together what may be equal,
without comparing all with all; then aligned thumbnails are correlated. A pair counts when it is far nearer
than unrelated rows of the same data are: digits all look alike, and raise no alarm by that.

Papers: Zauner 2010 (pHash) for the fingerprint; Indyk and Motwani 1998 for tables of randomly chosen bits;
Lowe 2004, section 7.1, for judging a match by the distance of unrelated ones.
Departs from them: positions are probed by the query instead of making the fingerprint blind to them.
Shapes: N rows, Q rows of the smaller split, C channels, H height, W width, S side of a thumbnail, P pixels of
a coarse one, F waves, T tables, K pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lichen.data.images import Images
from lichen.data.near.pairs import Likeness, Pairs, near_duplicates
from lichen.data.near.thumbnails import (
    CHUNK,
    MARGIN,
    MOVES,
    NUM_WAVES,
    SIDE,
    Move,
    coarsened,
    mover,
    signs,
    thumbnails,
)  # fmt: skip

NUM_TABLES = 10
MOST_SIGNS = 10
"""Signs in which two copies may differ: of CIFAR-10 rows as JPEG of quality 30, 1 % differ in 8 or more."""
CROWD = 8
"""Rows of one key beyond which it tells nothing apart."""
NUM_VERIFIED = 4
"""Candidates per row whose thumbnails are compared."""
PLAIN = 2.0
"""Standard deviation, in grey levels, of a coarse picture below which it shows nothing to be known by."""
FARTHEST = 0.06
"""1 - correlation of aligned thumbnails up to which they may show the same."""
SHARE = 0.1
"""Of the distance to unrelated rows up to which they do."""
UNRELATED, RANK = 2000, 3
"""Rows drawn (an eighth of the split at most), and which of the nearest of them sets the distance: the very
first may be copies themselves."""
MOST_ROWS = 20_000
"""Of a split that does not stay in memory."""


def sample(rows: Images) -> np.ndarray:
    """int64: all rows of a split that stays in memory, else MOST_ROWS of them, chosen by their content."""
    if rows.fits() or rows.num_rows <= MOST_ROWS:
        return np.arange(rows.num_rows)
    return np.sort(np.argsort(rows.ids, kind="stable")[:MOST_ROWS])


def searched(rows: Images) -> np.ndarray:
    """int64: the rows among which removal looks."""
    return sample(rows)


def fingerprints(rows: Images, chosen: np.ndarray) -> np.ndarray:
    """uint8 (N, S, S): thumbnails of the chosen rows of a split.

    What stays in memory is decoded as training will ask for it.
    """
    if rows.fits():
        return thumbnails(rows.whole())
    spans = (chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK))
    return np.concatenate([thumbnails(rows.batch(span, SIDE)) for span in spans])


def taken(thumbnails_NSS: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Those of some rows."""
    return thumbnails_NSS[chosen]


def compared(judge_NSS: np.ndarray, rows_NSS: np.ndarray) -> list[Likeness]:
    """How rows of two splits are alike."""
    return [near_duplicates(pairs(judge_NSS, rows_NSS))]


def pairs(left_NSS: np.ndarray, right_NSS: np.ndarray) -> Pairs:
    """The pairs of thumbnails of two sets that show the same; plain ones are in none."""
    if len(left_NSS) > len(right_NSS):  # the smaller set is probed in every position
        turned = pairs(right_NSS, left_NSS)
        return Pairs(turned.right, turned.left, turned.distance)
    left, right = (np.flatnonzero(coarsened(x).std(1) >= PLAIN) for x in (left_NSS, right_NSS))
    if not len(left) or not len(right):
        return Pairs(left[:0], right[:0], np.zeros(0, np.float32))
    left_NSS, right_NSS = left_NSS[left], right_NSS[right]
    found = verified(left_NSS, right_NSS, *candidates(left_NSS, right_NSS))
    found = found.take(found.distance <= FARTHEST)
    rows, place = np.unique(found.left, return_inverse=True)
    found = found.take(found.distance <= SHARE * unrelated(left_NSS[rows], right_NSS)[place])
    return Pairs(left[found.left], right[found.right], found.distance)


def candidates(left_QSS: np.ndarray, right_NSS: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs whose signs agree in some position of the left row: (left, right, number of the move), (K,) each.

    Of each left row the NUM_VERIFIED that agree most.
    """
    tables = _Tables.of(signs(coarsened(right_NSS), Move(False, 1.0, 0, 0)))
    coarse = {}
    for is_flipped, first, begin in {(move.is_flipped, *move.start) for move in MOVES}:
        begun = np.roll(_turned(left_QSS, is_flipped), (-first, -begin), axis=(1, 2))
        coarse[is_flipped, first, begin] = coarsened(begun)
    met = []
    for number, move in enumerate(MOVES):
        left, right, apart = tables.meet(signs(coarse[move.is_flipped, *move.start], move))
        met.append((left, right, apart, np.full(len(left), number)))
    left, right, apart, moves = (np.concatenate(column) for column in zip(*met, strict=True))
    order = np.lexsort((apart, right, left))
    order = order[_is_first(left[order], right[order])]  # each pair in its best position
    order = order[np.lexsort((apart[order], left[order]))]
    starts = np.flatnonzero(_is_first(left[order]))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    order = order[rank < NUM_VERIFIED]
    return left[order], right[order], moves[order]


def _turned(thumbnails_NSS: np.ndarray, is_flipped: bool) -> np.ndarray:
    return thumbnails_NSS[:, :, ::-1] if is_flipped else thumbnails_NSS


def _is_first(*columns: np.ndarray) -> np.ndarray:
    """bool (K,): whether a row of sorted columns differs from the one before."""
    is_first = np.ones(len(columns[0]), dtype=bool)
    is_first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return is_first


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """Rows by NUM_TABLES keys, each made of some of their signs.

    Args:
        weights: float32 (F, T): signs times weights are keys.
        order: int32 (T, N): rows sorted by key; `starts` (T, number of keys + 1) says where each key begins.
        codes: uint64 (N,): all signs of a row.
    """

    weights: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, signs_NF: np.ndarray) -> _Tables:
        num_signs = int(np.clip(np.ceil(np.log2(len(signs_NF))), 8, 22))  # about one row per key
        draws = np.random.Generator(np.random.Philox(0))
        weights = np.zeros((NUM_WAVES, NUM_TABLES), np.float32)
        for table in range(NUM_TABLES):
            weights[draws.permutation(NUM_WAVES)[:num_signs], table] = 2.0 ** np.arange(num_signs)
        keys_TN = _keys(signs_NF, weights).T
        counts = np.stack([np.bincount(keys, minlength=2**num_signs) for keys in keys_TN])
        return cls(
            weights=weights, order=np.argsort(keys_TN, axis=1, kind="stable").astype(np.int32),
            starts=np.pad(np.cumsum(counts, axis=1, dtype=np.int32), ((0, 0), (1, 0))),
            codes=_codes(signs_NF),
        )  # fmt: skip

    def meet(self, signs_QF: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(query, row, signs that differ), (K,) each, of those that share a key and nearly all signs."""
        keys_QT, table = _keys(signs_QF, self.weights), np.arange(NUM_TABLES)
        first = self.starts[table, keys_QT].ravel()
        count = self.starts[table, keys_QT + 1].ravel() - first
        count[count > CROWD] = 0
        place = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
        query, table = np.divmod(np.repeat(np.arange(count.size, dtype=np.int32), count), NUM_TABLES)
        row = self.order[table, place]
        apart = np.bitwise_count(_codes(signs_QF)[query] ^ self.codes[row])
        is_near = apart <= MOST_SIGNS
        return query[is_near], row[is_near], apart[is_near]


def _keys(signs_NF: np.ndarray, weights_FT: np.ndarray) -> np.ndarray:
    """int32 (N, T); exact, for float32 holds whole numbers up to 2**24."""
    return (signs_NF.astype(np.float32) @ weights_FT).astype(np.int32)


def _codes(signs_NF: np.ndarray) -> np.ndarray:
    """uint64 (N,): the signs as bits."""
    return np.packbits(np.pad(signs_NF, ((0, 0), (0, 64 - NUM_WAVES))), axis=1).view(np.uint64).ravel()


def verified(
    left_QSS: np.ndarray, right_NSS: np.ndarray, left: np.ndarray, right: np.ndarray, moves: np.ndarray
) -> Pairs:
    """Candidates with their distance: 1 - correlation of the middles, the left ones moved."""
    distance = np.empty(len(left), np.float32)
    for number in np.unique(moves).tolist():
        move, chosen = MOVES[number], np.flatnonzero(moves == number)
        for start in range(0, len(chosen), CHUNK):
            some = chosen[start : start + CHUNK]
            moved, still = _moved(left_QSS[left[some]], move), _middle(right_NSS[right[some]])
            distance[some] = 1 - np.einsum("kp,kp->k", moved, still)
    return Pairs(left, right, distance)


def _moved(thumbnails_NSS: np.ndarray, move: Move) -> np.ndarray:
    """`_middle` of moved thumbnails."""
    turned = _turned(thumbnails_NSS, move.is_flipped)
    if move.zoom == 1.0:
        return _middle(turned, move.down, move.right)
    down, right = (mover(SIDE, move.zoom, shift) for shift in (move.down, move.right))
    return _middle(down @ turned.astype(np.float32) @ right.T)


def unrelated(left_QSS: np.ndarray, right_NSS: np.ndarray) -> np.ndarray:
    """float32 (Q,): how far each row is from the nearest of some that have nothing to do with it."""
    num_drawn = min(UNRELATED, max(len(right_NSS) // 8, RANK))
    drawn = np.random.Generator(np.random.Philox(1)).permutation(len(right_NSS))[:num_drawn]
    others, rank = _middle(right_NSS[drawn]), min(RANK, len(drawn))
    found = np.empty(len(left_QSS), np.float32)
    for start in range(0, len(found), CHUNK):
        alike = _middle(left_QSS[start : start + CHUNK]) @ others.T
        found[start : start + CHUNK] = 1 - np.partition(alike, -rank, axis=1)[:, -rank]
    return found


def _middle(thumbnails_NSS: np.ndarray, down: int = 0, right: int = 0) -> np.ndarray:
    """float32 (N, pixels): the middles, or what lies beside them, at mean 0 and length 1."""
    rows, columns = (slice(MARGIN + shift, SIDE - MARGIN + shift) for shift in (down, right))
    flat = thumbnails_NSS[:, rows, columns].reshape(len(thumbnails_NSS), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3)
