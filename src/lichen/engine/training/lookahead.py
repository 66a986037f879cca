"""lookahead: every few steps the weights go back half-way to where they last were.

Paper: Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back", algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARE = 0.5
"""Of the way that is kept: the paper's alpha."""


class Lookahead:
    """s <- s + (w - s) / 2, then w <- s, after every so many steps and after the last."""

    def __init__(self, module: nn.Module, every: int) -> None:
        self.every = every
        self.tensors: dict[str, Tensor] = {
            name: parameter.detach().clone()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._fast = [parameter.data for parameter in module.parameters() if parameter.requires_grad]
        self._slow = list(self.tensors.values())

    @torch.no_grad()
    def update(self, step: int, *, is_last: bool) -> None:
        """Takes note of the weights after `step` steps."""
        if step % self.every and not is_last:
            return
        torch._foreach_lerp_(self._slow, self._fast, SHARE)
        torch._foreach_copy_(self._fast, self._slow)
