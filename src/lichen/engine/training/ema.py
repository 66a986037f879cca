"""ema: a running average of the weights, which answers better than the last step's."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def moving(module: nn.Module) -> dict[str, Tensor]:
    """What training may change, by name and not copied: parameters that learn, and buffers."""
    frozen = {
        name
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad
    }
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


class Average:
    """a <- d a + (1 - d) w after each step; d = min(decay, (1 + t) / (10 + t)), so the start is forgotten.

    Batch-norm's running figures are averages already: they are copied. What is frozen has no average.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        shared: dict[int, Tensor] = {}  # a matrix with two names has one average
        self.tensors: dict[str, Tensor] = {
            name: shared.setdefault(tensor.data_ptr(), tensor.detach().clone()) if tensor.numel()
            else tensor.detach().clone()
            for name, tensor in moving(module).items()
        }  # fmt: skip
        parameters = {
            name: parameter for name, parameter in module.named_parameters() if name in self.tensors
        }
        self._sources = [parameter.data for parameter in parameters.values()]
        self._targets = [self.tensors[name] for name in parameters]
        self._buffers = [
            (self.tensors[name], buffer) for name, buffer in module.named_buffers() if name in self.tensors
        ]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._targets, self._sources, 1.0 - decay)
        for target, buffer in self._buffers:
            target.copy_(buffer)
