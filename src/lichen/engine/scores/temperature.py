"""temperature: the number that outputs are divided by so that a task's loss on some rows is least.

Paper: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
Shapes: N rows, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures: where every answer is right, the best one would be 0."""
NUM_NEWTON = 60
NEAR = 1e-6
"""Of the inverse temperature: losses are float32."""


def fitted(
    outputs_NK: np.ndarray,
    targets: np.ndarray,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    coldest: float = COLDEST,
    hottest: float = HOTTEST,
) -> float:
    """The temperature of least mean loss, which is convex in its inverse for every log loss: Newton's method.

    Args:
        loss: (outputs, targets) -> one number per row.
    """
    z_NK, y = torch.from_numpy(outputs_NK.astype(np.float64)), torch.from_numpy(np.array(targets))
    inverse = min(max(1.0, 1.0 / hottest), 1.0 / coldest)
    for _ in range(NUM_NEWTON):
        slope, bend = _derivatives(z_NK, y, loss, inverse)
        step = np.clip(slope / max(bend, 1e-12), -inverse, inverse / 2)  # at most twice, and half, as hot
        moved = float(np.clip(inverse - step, 1.0 / hottest, 1.0 / coldest))
        if abs(moved - inverse) < NEAR * inverse:
            break
        inverse = moved
    return 1.0 / inverse


def _derivatives(
    z_NK: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor], inverse: float
) -> tuple[float, float]:
    """The first two of the mean loss by the inverse temperature."""
    with torch.inference_mode(False), torch.enable_grad():
        at = torch.tensor(inverse, dtype=torch.float64, requires_grad=True)
        mean = loss(at * z_NK, y).double().mean()
        (slope,) = torch.autograd.grad(mean, at, create_graph=True)
        (bend,) = torch.autograd.grad(slope, at)
    return slope.item(), bend.item()
