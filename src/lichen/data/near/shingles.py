"""shingles: every run of three words of a text, as numbers, each once per row.

Shapes: N rows, L letters, W words, S shingles.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

from lichen.data.draws import mix
from lichen.data.texts import Texts

WIDTH = 3
"""Words of a shingle: one changed word spoils three; two words in a row are shared by chance too often."""
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


def of_rows(rows: Texts, chosen: np.ndarray) -> Shingles:
    """The shingles of the chosen rows."""
    found, start = [], 0
    for _, span in rows.spans(chosen):
        row_S, code_S = runs([rows.parts(text)[0] for text in span])
        found.append((row_S + start, code_S))
        start += len(span)
    row_S = np.concatenate([row for row, _ in found] or [np.zeros(0, np.int64)])
    code_S = np.concatenate([code for _, code in found] or [np.zeros(0, np.uint64)])
    return _each_once(row_S, code_S, start)


def of_texts(texts: list[bytes]) -> Shingles:
    return _each_once(*runs(texts), len(texts))


def _each_once(row_S: np.ndarray, code_S: np.ndarray, num_rows: int) -> Shingles:
    key_S, first = np.unique(key(row_S, code_S), return_index=True)
    return Shingles(row_S[first], code_S[first], key_S, np.bincount(row_S[first], minlength=num_rows))


def taken(found: Shingles, chosen: np.ndarray) -> Shingles:
    """Those of some rows, which are numbered anew."""
    number = np.full(len(found.size), -1, np.int64)
    number[chosen] = np.arange(len(chosen))
    row_S = number[found.row]
    row_S, code_S = row_S[row_S >= 0], found.code[row_S >= 0]
    key_S = key(row_S, code_S)
    order = np.argsort(key_S)
    return Shingles(row_S[order], code_S[order], key_S[order], found.size[chosen])


def key(row: np.ndarray, code: np.ndarray) -> np.ndarray:
    return mixed(code ^ mixed(row.astype(np.uint64)))


def mixed(values: np.ndarray) -> np.ndarray:
    return mix(values.view(np.int64)).view(np.uint64)


def runs(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
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
        code = mixed(code + np.where(is_inside, code_W[place], np.uint64(step)))
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
    np.cumsum(mixed(letter_L.astype(np.uint64)) * power_L, out=total[1:])
    return mixed((total[end_W] - total[start_W]) * inverse_L[start_W])


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)
