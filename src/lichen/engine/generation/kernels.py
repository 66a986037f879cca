"""kernels: how far apart two sets of features are by a kernel; without bias, so 0 on average where alike.

Paper: Binkowski et al. 2018 (KID), sections 3 and 4: the squared maximum mean discrepancy with the kernel
(x y / F + 1)^3; as a U-statistic it may fall below 0.

Shapes: N and M rows, F features.
"""

from __future__ import annotations

import numpy as np


def kernel(left_NF: np.ndarray, right_MF: np.ndarray) -> np.ndarray:
    """float64 (N, M): (x y / F + 1)^3."""
    inner_NM = left_NF.astype(np.float64) @ right_MF.astype(np.float64).T
    return (inner_NM / left_NF.shape[1] + 1.0) ** 3


def distance(real_NF: np.ndarray, made_MF: np.ndarray) -> float:
    """The unbiased squared discrepancy of two sets of two rows at least."""
    return of_kernels(kernel(real_NF, real_NF), kernel(made_MF, made_MF), kernel(real_NF, made_MF))


def of_kernels(real_NN: np.ndarray, made_MM: np.ndarray, both_NM: np.ndarray) -> float:
    """The same of the kernels, so that they serve many draws of rows."""
    return _apart(real_NN) + _apart(made_MM) - 2.0 * float(both_NM.mean())


def _apart(kernel_NN: np.ndarray) -> float:
    """The mean over pairs of different rows."""
    num_rows = len(kernel_NN)
    return float(kernel_NN.sum() - np.trace(kernel_NN)) / (num_rows * (num_rows - 1))
