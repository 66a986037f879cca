"""rounding: matrices as whole numbers of few bits, with a scale and a zero per group of inputs.

A group's scale is the one that leaves the least squared error. Where it is known what a layer reads, a column
is rounded after those before it, and what its rounding did wrong is made good by the columns to come.
Papers: Frantar et al. 2023, "GPTQ" (columns in turn, algorithm 1).
Departs from it: scales are searched for and zeros are whole, as MatMulNBits of ONNX Runtime wants them.

Shapes: N outputs, K inputs, J groups of inputs, Q rows that were read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Of a group's range: the farthest numbers may be cut off if the others gain more."""
DAMPING = 0.01
"""Of the mean square of inputs: added to all, so that inputs that were never seen count a little."""
COLUMNS = 128
"""Rounded before what comes later hears of their error; the result does not depend on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """(numbers - zeros) * scales.

    Args:
        numbers_NK: uint8, filled up to whole groups. scales_NJ: float32. zeros_NJ: uint8.
    """

    numbers_NK: np.ndarray
    scales_NJ: np.ndarray
    zeros_NJ: np.ndarray
    bits: int
    group: int

    @property
    def packed(self) -> np.ndarray:
        """uint8 (N, J, bytes of a group): two numbers of four bits in a byte, the first one low."""
        shape = len(self.numbers_NK), -1, self.group * self.bits // 8
        return _packed(self.numbers_NK, self.bits).reshape(shape)

    @property
    def packed_zeros(self) -> np.ndarray:
        """uint8 (N, bytes of J zeros)."""
        return _packed(self.zeros_NJ, self.bits)

    def whole(self) -> np.ndarray:
        """float32 (N, K), groups filled up."""
        numbers_NJG = self.numbers_NK.reshape(*self.scales_NJ.shape, self.group).astype(np.float32)
        found_NJG = (numbers_NJG - self.zeros_NJ[..., None]) * self.scales_NJ[..., None]
        return found_NJG.reshape(self.numbers_NK.shape)


def _packed(numbers_NK: np.ndarray, bits: int) -> np.ndarray:
    if bits == 8:
        return numbers_NK
    even_NK = np.pad(numbers_NK, ((0, 0), (0, numbers_NK.shape[1] % 2)))
    return even_NK[:, ::2] | even_NK[:, 1::2] << 4


def nearest(matrix_NK: Tensor, bits: int, group: int) -> Rounded:
    """Each number by itself."""
    filled_NK = _filled(matrix_NK, group)
    groups_NJG = filled_NK.unflatten(1, (-1, group))
    scales_NJ, zeros_NJ = _grid(groups_NJG, bits)
    numbers_NJG = _numbers(groups_NJG, scales_NJ[..., None], zeros_NJ[..., None], bits)
    return _made(numbers_NJG.flatten(1), scales_NJ, zeros_NJ, bits, group)


def against(matrix_NK: Tensor, square_KK: Tensor, bits: int, group: int) -> Rounded:
    """So that what the layer answers changes least.

    Args:
        square_KK: the sum of x x' over what the layer read.
    """
    left_NK = _filled(matrix_NK, group).clone()
    width, block = left_NK.shape[1], max(COLUMNS, group)
    factor_KK = _factor(square_KK, width)
    numbers_NK = torch.empty_like(left_NK)
    scales, zeros = [], []
    for start in range(0, width, block):
        end = min(start + block, width)
        errors_NK = torch.empty_like(left_NK[:, start:end])
        for column in range(start, end):
            if column % group == 0:
                scale_N, zero_N = _grid(left_NK[:, column : column + group], bits)
                scales.append(scale_N)
                zeros.append(zero_N)
            number_N = _numbers(left_NK[:, column], scale_N, zero_N, bits)
            error_N = (left_NK[:, column] - (number_N - zero_N) * scale_N) / factor_KK[column, column]
            left_NK[:, column:end] -= error_N[:, None] * factor_KK[column, column:end]
            numbers_NK[:, column], errors_NK[:, column - start] = number_N, error_N
        left_NK[:, end:] -= errors_NK @ factor_KK[start:end, end:]
    return _made(numbers_NK, torch.stack(scales, 1), torch.stack(zeros, 1), bits, group)


def _filled(matrix_NK: Tensor, group: int) -> Tensor:
    return functional.pad(matrix_NK.detach().float(), (0, -matrix_NK.shape[1] % group))


def _made(numbers_NK: Tensor, scales_NJ: Tensor, zeros_NJ: Tensor, bits: int, group: int) -> Rounded:
    numbers, zeros = (found.to(torch.uint8).numpy() for found in (numbers_NK, zeros_NJ))
    return Rounded(numbers, scales_NJ.numpy(), zeros, bits, group)


def _numbers(x: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    return (torch.round(x / scale) + zero).clamp(0, 2**bits - 1)


def _grid(x_NG: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale and zero (N,) of each group: of its range, or of the part of it that leaves less error."""
    low_N, high_N = x_NG.amin(-1).clamp(max=0), x_NG.amax(-1).clamp(min=0)
    whole_N = (high_N - low_N) / (2**bits - 1)
    whole_N = whole_N.where(whole_N > 0, 1.0)
    zero_N = torch.round(-low_N / whole_N)
    best_N, least_N = whole_N, torch.full_like(whole_N, torch.inf)
    for shrink in SHRINKS:
        scale_N = shrink * whole_N
        told_NG = _numbers(x_NG, scale_N[..., None], zero_N[..., None], bits) - zero_N[..., None]
        error_N = (told_NG * scale_N[..., None] - x_NG).square().sum(-1)
        best_N, least_N = scale_N.where(error_N < least_N, best_N), error_N.minimum(least_N)
    return best_N, zero_N


def _factor(square_KK: Tensor, width: int) -> Tensor:
    """float32 (K, K): upper triangular, its square the inverse of what was read."""
    missing = width - len(square_KK)
    whole_KK = functional.pad(square_KK.double(), (0, missing, 0, missing))
    mean = whole_KK.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
    whole_KK.diagonal().add_(DAMPING * mean)
    inverse_KK = torch.cholesky_inverse(torch.linalg.cholesky(whole_KK))
    return torch.linalg.cholesky(inverse_KK, upper=True).float()
