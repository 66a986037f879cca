"""muon: the direction of a step whose matrix is orthogonal: every direction in it counts alike.

Paper: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the iteration is Newton
and Schulz's with coefficients that reach singular values near 1 in five steps, without converging to it.
Shapes: O outputs, I inputs (of a filter: channels times pixels of the kernel).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of X, X X' X and (X X')^2 X: the steepest at 0 of those that keep all in about 0.7 to 1.2."""
NUM_STEPS = 5
SMALLEST = 1e-7


def direction(gradient: Tensor) -> Tensor:
    """The nearest matrix to a gradient with singular values near 1, in its shape; filters count as matrices.

    Times the root of outputs over inputs where there are more outputs, so that a step changes what a layer
    says alike in both cases.
    """
    found_OI = orthogonal(gradient.flatten(1))
    scale = math.sqrt(max(1.0, found_OI.shape[0] / found_OI.shape[1]))
    return (found_OI * scale).view(gradient.shape)


def orthogonal(matrix_OI: Tensor) -> Tensor:
    """U V' of a matrix U S V', roughly: its singular values are those of S pushed towards 1."""
    is_tall = matrix_OI.shape[0] > matrix_OI.shape[1]
    x = matrix_OI.T if is_tall else matrix_OI
    x = x / (torch.linalg.vector_norm(x) + SMALLEST)
    first, third, fifth = COEFFICIENTS
    for _ in range(NUM_STEPS):
        square = x @ x.T
        x = first * x + (third * square + fifth * (square @ square)) @ x
    return x.T if is_tall else x
