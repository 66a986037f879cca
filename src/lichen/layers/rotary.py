"""rotary: queries and keys turn with their places, so that only distances count.

Paper: Su et al. 2021 (RoPE).
Shapes: B batch, T tokens, H heads, K width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turns(place_BT: Tensor, head_width: int, base: float) -> Tensor:
    """float32 (B, T, K): cosines, then sines, of the angles by which the two halves of a head turn."""
    device = place_BT.device
    rates_K = base ** (-torch.arange(0, head_width, 2, device=device, dtype=torch.float32) / head_width)
    angles_BTK = place_BT[..., None] * rates_K
    return torch.cat([angles_BTK.cos(), angles_BTK.sin()], -1)


def turned(x_BHTK: Tensor, turn_B1TK: Tensor) -> Tensor:
    """Each pair (x_k, x_k+K/2) as a point of a plane, turned by its angle."""
    cos_B1TK, sin_B1TK = turn_B1TK.to(x_BHTK.dtype).chunk(2, -1)
    left_BHTK, right_BHTK = x_BHTK.chunk(2, -1)
    return torch.cat(
        [left_BHTK * cos_B1TK - right_BHTK * sin_B1TK, right_BHTK * cos_B1TK + left_BHTK * sin_B1TK], -1
    )
