"""texts: rows that say nearly the same: words changed, other case or punctuation, or inside a longer row.

A row is its words without case and punctuation, where a character of a script without spaces is a word; its
shingles are all runs of three words. Rows are near when most of what either has is shared (resemblance); a
row occurs inside another when nearly all it has stands there (containment). Shingles bring together what may
be alike without comparing all with all; then the shingles of those rows are compared.

Of a pair of texts the source is what would give its target away, so sources are compared.

Paper: Broder 1997, resemblance and containment.
Departs from it: all shingles are kept instead of a sketch of them, so that the shares are exact; rows of many
megabytes are sampled as a whole.
Shapes: N rows, L letters, W words, S shingles, J shingles of the judging split, K pairs.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

from lichen.data.draws import mix
from lichen.data.near.pairs import Likeness, Pairs, near_duplicates
from lichen.data.texts import Texts

WIDTH = 3
"""Words of a shingle: one changed word spoils three; two words in a row are shared by chance too often."""
CROWD = 64
"""Rows that share a shingle beyond which it brings none of them together."""
NUM_VERIFIED = 4
"""Rows per judging row whose shingles are compared."""
NEAR, INSIDE = 0.4, 0.8
"""Resemblance from which rows are near: of ten words in a row one is changed; containment from which a row
occurs inside another."""
MOST_BYTES = 32_000_000
"""Of a split that are compared: some seconds' work."""
ALONE = ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF),
         (0xF900, 0xFAFF), (0x20000, 0x3FFFF))  # fmt: skip
"""Characters of scripts without spaces: Thai, Lao, Burmese, Khmer, kana, Han."""
BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2**64."""


@dataclass(frozen=True, slots=True, eq=False)
class Shingles:
    """What rows are made of, each shingle once per row.

    Args:
        row: int64 (S,). code: uint64 (S,), of the words. key: uint64 (S,), of row and words, ascending.
        size: int64 (N,) shingles of each row.
    """

    row: np.ndarray
    code: np.ndarray
    key: np.ndarray
    size: np.ndarray


def sample(rows: Texts) -> np.ndarray:
    """int64: all rows, or of a large split those with the smallest ids up to MOST_BYTES."""
    if rows.num_bytes <= MOST_BYTES:
        return np.arange(rows.num_rows)
    order = np.argsort(rows.ids, kind="stable")
    return np.sort(order[np.cumsum(rows.located.length[order]) <= MOST_BYTES])


def fingerprints(rows: Texts, chosen: np.ndarray) -> Shingles:
    """The shingles of the chosen rows."""
    found, start = [], 0
    for _, span in rows.spans(chosen):
        row_S, code_S = shingles([rows.parts(text)[0] for text in span])
        found.append((row_S + start, code_S))
        start += len(span)
    row_S = np.concatenate([row for row, _ in found] or [np.zeros(0, np.int64)])
    code_S = np.concatenate([code for _, code in found] or [np.zeros(0, np.uint64)])
    key_S, first = np.unique(_key(row_S, code_S), return_index=True)
    return Shingles(row_S[first], code_S[first], key_S, np.bincount(row_S[first], minlength=start))


def taken(found: Shingles, chosen: np.ndarray) -> Shingles:
    """Those of some rows, which are numbered anew."""
    number = np.full(len(found.size), -1, np.int64)
    number[chosen] = np.arange(len(chosen))
    row_S = number[found.row]
    row_S, code_S = row_S[row_S >= 0], found.code[row_S >= 0]
    key_S = _key(row_S, code_S)
    order = np.argsort(key_S)
    return Shingles(row_S[order], code_S[order], key_S[order], found.size[chosen])


def compared(judge: Shingles, rows: Shingles) -> list[Likeness]:
    """How rows of two splits are alike: near, and of the others those that occur inside one."""
    left, right = candidates(judge, rows)
    shared = _shared(judge, rows, left, right)
    resemblance = shared / (judge.size[left] + rows.size[right] - shared)
    is_near = resemblance >= NEAR
    containment = shared / judge.size[left]
    is_inside = (containment >= INSIDE) & ~np.isin(left, left[is_near])
    pairs = Pairs(left, right, (1 - resemblance).astype(np.float32))
    inside = Likeness(
        one="row occurs inside a row of", many="rows occur inside rows of", pairs=pairs.take(is_inside)
    )
    return [near_duplicates(pairs.take(is_near)), inside]


def candidates(judge: Shingles, rows: Shingles) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (left, right) int64 (K,): of each judging row the NUM_VERIFIED that share most with it."""
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
    return left[chosen], right[chosen]


def _shared(judge: Shingles, rows: Shingles, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 (K,): shingles that the rows of each pair have in common, crowded ones too."""
    by_row = np.argsort(judge.row, kind="stable")
    count = judge.size[left]
    begin = (np.cumsum(judge.size) - judge.size)[left]
    place = np.arange(count.sum()) + np.repeat(begin - (np.cumsum(count) - count), count)
    key = _key(np.repeat(right, count), judge.code[by_row[place]])
    asked = np.argsort(key)
    found = np.minimum(np.searchsorted(rows.key, key[asked]), len(rows.key) - 1)
    is_there = rows.key[found] == key[asked]
    return np.bincount(np.repeat(np.arange(len(left)), count)[asked[is_there]], minlength=len(left))


def _key(row: np.ndarray, code: np.ndarray) -> np.ndarray:
    return _mixed(code ^ _mixed(row.astype(np.uint64)))


def _mixed(values: np.ndarray) -> np.ndarray:
    return mix(values.view(np.int64)).view(np.uint64)


def shingles(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Every run of three words: its row int64 (S,) and its code uint64 (S,); a shorter row is one run."""
    row_W, code_W = words(texts)
    num_words = np.bincount(row_W, minlength=len(texts))
    whole = np.flatnonzero(row_W[: 1 - WIDTH] == row_W[WIDTH - 1 :]) if len(row_W) >= WIDTH else row_W[:0]
    begin = np.cumsum(num_words) - num_words
    short = begin[(num_words > 0) & (num_words < WIDTH)]
    start = np.concatenate([whole, short])
    code = np.zeros(len(start), np.uint64)
    for step in range(WIDTH):
        place = np.minimum(start + step, len(row_W) - 1)
        is_inside = row_W[place] == row_W[start]
        code = _mixed(code + np.where(is_inside, code_W[place], np.uint64(step)))
    return row_W[start], code


def words(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Every word: its row int64 (W,) and a code uint64 (W,) of its letters."""
    plain = [_plain(text) for text in texts]
    ends = np.cumsum([len(text) for text in plain], dtype=np.int64)
    letter_L = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), "<u4")
    kind_L = _kinds(letter_L)
    is_start, is_end = _edges(kind_L, ends)
    start_W, end_W = np.flatnonzero(is_start), np.flatnonzero(is_end) + 1
    return np.searchsorted(ends, start_W, "right"), _codes(letter_L, start_W, end_W)


def _plain(text: bytes) -> str:
    said = text.decode("utf-8", "replace").casefold()
    return said if said.isascii() else unicodedata.normalize("NFKC", said)


def _kinds(letter_L: np.ndarray) -> np.ndarray:
    """uint8 (L,): 0 stands between words, 1 is a letter of one, 2 a word by itself."""
    is_seen = np.zeros(0x110000, dtype=bool)
    is_seen[letter_L] = True
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for letter in np.flatnonzero(is_seen).tolist():
        kinds[letter] = unicodedata.category(chr(letter))[0] in "LNM"
    for first, last in ALONE:
        kinds[first : last + 1] *= 2
    return kinds[letter_L]


def _edges(kind_L: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool (L,) twice: whether a word starts, or ends, at a letter."""
    is_cut = np.ones(len(kind_L) + 1, dtype=bool)  # between a letter and the one before
    before, after = kind_L[:-1], kind_L[1:]
    is_cut[1:-1] = (before != 1) | (after != 1)
    is_cut[ends] = True
    return (kind_L > 0) & is_cut[:-1], (kind_L > 0) & is_cut[1:]


def _codes(letter_L: np.ndarray, start_W: np.ndarray, end_W: np.ndarray) -> np.ndarray:
    """uint64 (W,): polynomials in BASE over the letters of each word, modulo 2**64, by one running sum."""
    num_letters = len(letter_L)
    power_L, inverse_L = (_powers(base, num_letters) for base in (BASE, pow(BASE, -1, 2**64)))
    total = np.zeros(num_letters + 1, np.uint64)
    np.cumsum(_mixed(letter_L.astype(np.uint64)) * power_L, out=total[1:])
    return _mixed((total[end_W] - total[start_W]) * inverse_L[start_W])


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)
