"""frechet: how far apart two sets of features are as Gaussians.

|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The last trace is the sum of the roots of the eigenvalues of
C1^(1/2) C2 C1^(1/2), which is symmetric: two symmetric problems instead of the root of a matrix that is not.
Of fewer rows than features it is the sum of the singular values of X1 X2', the centred rows by each other.
Papers: Heusel et al. 2017 (FID), section 3; Dowson and Landau 1982, for the distance.

Shapes: N and M rows, F features.
"""

from __future__ import annotations

import numpy as np


def distance(real_NF: np.ndarray, made_MF: np.ndarray) -> float:
    """The Frechet distance of two sets of features; features of unequal scale count by their scale."""
    if max(len(real_NF), len(made_MF)) < real_NF.shape[1]:
        return _of_rows(real_NF.astype(np.float64), made_MF.astype(np.float64))
    (mean_F, spread_FF), (other_F, beside_FF) = moments(real_NF), moments(made_MF)
    return of_moments(mean_F, spread_FF, other_F, beside_FF)


def _of_rows(real_NF: np.ndarray, made_MF: np.ndarray) -> float:
    means = [rows.mean(0) for rows in (real_NF, made_MF)]
    ones_NF, others_MF = (
        (rows - mean_F) / np.sqrt(max(1, len(rows) - 1))
        for rows, mean_F in zip((real_NF, made_MF), means, strict=True)
    )
    shared = np.linalg.svd(ones_NF @ others_MF.T, compute_uv=False).sum()
    spread = np.square(ones_NF).sum() + np.square(others_MF).sum()
    return max(0.0, float(np.square(means[0] - means[1]).sum() + spread - 2.0 * shared))


def moments(features_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) and covariance (F, F), by N - 1, in float64."""
    wide_NF = features_NF.astype(np.float64)
    mean_F = wide_NF.mean(0)
    wide_NF -= mean_F
    return mean_F, wide_NF.T @ wide_NF / max(1, len(wide_NF) - 1)


def of_moments(
    mean_F: np.ndarray, spread_FF: np.ndarray, other_F: np.ndarray, beside_FF: np.ndarray
) -> float:
    """The Frechet distance of two Gaussians."""
    values_F, vectors_FF = np.linalg.eigh(spread_FF)
    root_FF = vectors_FF * np.sqrt(values_F.clip(min=0.0))
    between_F = np.linalg.eigvalsh(root_FF.T @ beside_FF @ root_FF)
    shared = np.sqrt(between_F.clip(min=0.0)).sum()
    apart = float(((mean_F - other_F) ** 2).sum())
    return max(0.0, apart + float(np.trace(spread_FF) + np.trace(beside_FF) - 2.0 * shared))
