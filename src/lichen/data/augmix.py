"""augmix: a picture laid over mixtures of chains of operations on itself.

Three chains of one to three operations each, weighted by a Dirichlet draw; the mixture then meets the
original by a Beta draw (both with parameter 1). Without the consistency loss, which is the trainer's to add.

Paper: Hendrycks et al. 2020 (AugMix), with its operations and their reach; moves reflect as in `wide`.
Shapes: B rows, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lichen.data import wide

CHAINS, DEPTH = 3, 3
NUM_DRAWS = CHAINS * (2 + 3 * DEPTH) + 1
"""Per chain depth, weight, and of each operation which, how far and which way; then the original's share."""
NAMES = ("autocontrast", "equalize", "posterize", "rotate", "solarize", "shear across", "shear down",
         "shift across", "shift down")  # fmt: skip
LEAST = 0.01
"""Of a severity of 1."""


def varied(images_BCHW: Tensor, drawn: Sequence[Tensor], severity: float) -> Tensor:
    """float32 from 0 to 255.

    Args:
        images_BCHW: uint8.
        drawn: NUM_DRAWS draws (B,) in [0, 1).
        severity: in [0, 1], how far operations go at most; the paper's of 3 is 0.3.
    """
    columns = iter(drawn)
    total_B = torch.zeros(len(images_BCHW), device=images_BCHW.device)
    mixture_BCHW = torch.zeros_like(images_BCHW, dtype=torch.float32)
    for _ in range(CHAINS):
        depth_B = (next(columns) * DEPTH).long()
        weight_B = -torch.log1p(-next(columns))  # exponential: shares of such sums are Dirichlet of 1
        chained_BCHW = images_BCHW
        for place in range(DEPTH):
            once_BCHW = _once(chained_BCHW, *(next(columns) for _ in range(3)), severity=severity)
            chained_BCHW = torch.where((place <= depth_B)[:, None, None, None], once_BCHW, chained_BCHW)
        mixture_BCHW += weight_B[:, None, None, None] * chained_BCHW
        total_B += weight_B
    mixture_BCHW /= total_B.clamp(min=1e-12)[:, None, None, None]
    share_B111 = next(columns)[:, None, None, None]
    return share_B111 * images_BCHW + (1.0 - share_B111) * mixture_BCHW


def _once(images: Tensor, which_B: Tensor, how_far_B: Tensor, way_B: Tensor, *, severity: float) -> Tensor:
    number_B = (which_B * len(NAMES)).long()
    level_B = LEAST + (severity - LEAST) * how_far_B if severity > LEAST else how_far_B * severity
    reaches = torch.tensor([_reach(name, images.shape[-1]) for name in NAMES], device=images.device)
    numbers = torch.tensor([wide.NAMES.index(name) for name in NAMES], device=images.device)
    return wide.varied(images, numbers[number_B], level_B * reaches[number_B], way_B < 0.5)


def _reach(name: str, side: int) -> float:
    """How far an operation of severity 1 goes, as a share of what it does in `wide`."""
    return {
        "rotate": 30.0 / wide.DEGREES, "shear across": 0.3 / wide.FURTHEST, "shear down": 0.3 / wide.FURTHEST,
        "shift across": side / 3.0 / wide.PIXELS, "shift down": side / 3.0 / wide.PIXELS,
        "posterize": 4.0 / (wide.MOST_BITS - wide.LEAST_BITS), "solarize": 1.0,
    }.get(name, 1.0)  # fmt: skip
