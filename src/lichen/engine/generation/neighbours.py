"""neighbours: what fills the space that real rows fill, told by balls as wide as the way to a near neighbour.

Papers: Kynkaanniemi et al. 2019 (precision, recall), section 2; Naeem et al. 2020 (density, coverage),
section 3. Of two sets of one distribution the density is 1 and the coverage 1 - 2^-k on average.

Shapes: N real rows, M made rows, C rows of a chunk, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NEAREST = 5
"""The neighbour whose distance is a ball's radius: Naeem et al.'s."""
TABLE = 1 << 24
"""Distances that are held at a time."""


def distances(left_NF: np.ndarray, right_MF: np.ndarray) -> np.ndarray:
    """float64 (N, M), Euclidean."""
    left_NF, right_MF = left_NF.astype(np.float64), right_MF.astype(np.float64)
    squares_NM = (left_NF**2).sum(1)[:, None] + (right_MF**2).sum(1) - 2.0 * left_NF @ right_MF.T
    return np.sqrt(squares_NM.clip(min=0.0))


def nearest(left_NF: np.ndarray, right_MF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each left row the nearest right one: its number int64 (N,), and how far it is (N,)."""
    found = []
    for some_CF in _chunks(left_NF, len(right_MF)):
        apart = distances(some_CF, right_MF)
        rows = apart.argmin(1)
        found.append((rows, apart[np.arange(len(rows)), rows]))
    rows, apart = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, apart


def radii(within_NN: np.ndarray, k: int = NEAREST) -> np.ndarray:
    """float64 (N,): the distance of each row to the k-th nearest other one of its set."""
    return np.partition(within_NN, k, axis=1)[:, k]  # place 0 is the row itself


def reach(rows_NF: np.ndarray, among_MF: np.ndarray, k: int = NEAREST) -> np.ndarray:
    """float64 (N,): the distance of each row to the k-th nearest other one of a set that it is of."""
    chunks = _chunks(rows_NF, len(among_MF))
    return np.concatenate([radii(distances(some_CF, among_MF), k) for some_CF in chunks])


def around(rows_NF: np.ndarray, chosen_C: np.ndarray, k: int = NEAREST) -> np.ndarray:
    """int64 (C, k): of some rows of a set, by their numbers, the k nearest other ones, the nearest first."""
    found = []
    for some_C in _chunks(chosen_C, len(rows_NF)):
        apart = distances(rows_NF[some_C], rows_NF)
        apart[np.arange(len(some_C)), some_C] = np.inf
        near = np.argpartition(apart, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(apart, near, 1).argsort(1, kind="stable")
        found.append(np.take_along_axis(near, order, 1))
    return np.concatenate(found)


def _chunks(rows_NF: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Rows in parts whose table beside `count` others is no larger than TABLE."""
    size = max(1, TABLE // count)
    return (rows_NF[at : at + size] for at in range(0, len(rows_NF), size))


def figures(
    real_NN: np.ndarray, made_MM: np.ndarray, both_NM: np.ndarray, k: int = NEAREST
) -> dict[str, float]:
    """Precision, recall, density and coverage of distances within and between the sets."""
    in_real_NM = both_NM <= radii(real_NN, k)[:, None]
    in_made_NM = both_NM <= radii(made_MM, k)[None, :]
    return {
        "precision": float(in_real_NM.any(0).mean()),
        "recall": float(in_made_NM.any(1).mean()),
        "density": float(in_real_NM.sum() / (k * in_real_NM.shape[1])),
        "coverage": float(in_real_NM.any(1).mean()),
    }
