"""neighbours: what fills the space that real rows fill, told by balls as wide as the way to a near neighbour.

Papers: Kynkaanniemi et al. 2019 (precision, recall), section 2; Naeem et al. 2020 (density, coverage),
section 3. Of two sets of one distribution the density is 1 and the coverage 1 - 2^-k on average.

Shapes: N real rows, M made rows, F features.
"""

from __future__ import annotations

import numpy as np

NEAREST = 5
"""The neighbour whose distance is a ball's radius: Naeem et al.'s."""
CHUNK = 1024


def distances(left_NF: np.ndarray, right_MF: np.ndarray) -> np.ndarray:
    """float64 (N, M), Euclidean."""
    left_NF, right_MF = left_NF.astype(np.float64), right_MF.astype(np.float64)
    squares_NM = (left_NF**2).sum(1)[:, None] + (right_MF**2).sum(1) - 2.0 * left_NF @ right_MF.T
    return np.sqrt(squares_NM.clip(min=0.0))


def nearest(left_NF: np.ndarray, right_MF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each left row the nearest right one: its number int64 (N,), and how far it is (N,)."""
    found = []
    for start in range(0, len(left_NF), CHUNK):
        apart = distances(left_NF[start : start + CHUNK], right_MF)
        rows = apart.argmin(1)
        found.append((rows, apart[np.arange(len(rows)), rows]))
    rows, apart = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, apart


def radii(within_NN: np.ndarray, k: int = NEAREST) -> np.ndarray:
    """float64 (N,): the distance of each row to the k-th nearest other one of its set."""
    return np.partition(within_NN, k, axis=1)[:, k]  # place 0 is the row itself


def reach(rows_NF: np.ndarray, k: int = NEAREST) -> np.ndarray:
    """float64 (N,): `radii` of rows, however many there are."""
    starts = range(0, len(rows_NF), CHUNK)
    return np.concatenate([radii(distances(rows_NF[at : at + CHUNK], rows_NF), k) for at in starts])


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
