"""fakequant: a net that computes as its int8 executable will, and learns through the rounding.

Weights are rounded to s8, or to 7 bits, with a scale per output channel, what comes into a layer to u8 over
a running range: the format of `quantizers`. A batch-norm that is folded into its layer later scales whole
channels and so changes nothing. The gradient passes straight through the rounding and stops where a value was
cut off.
Paper: Jacob et al. 2018, sections 2 and 3; Bengio et al. 2013 (straight-through).

Shapes: O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

HIGH, HIGH_NARROW = 127, 64
"""Of s8 weights, and of those of 7 bits: symmetric, as both runtimes have them."""
LEVELS = 255
"""Of u8 activations, zero being one of them."""
MOMENTUM = 0.05
"""Of a range: what a batch's extremes count against those before."""
SMALLEST = 1e-8


class Rounded(nn.Module):
    """W -> W on the grid of the integers from -high to high, times a scale per output channel."""

    def __init__(self, high: int = HIGH) -> None:
        super().__init__()
        self.high = high

    def forward(self, weight: Tensor) -> Tensor:
        scale_O = (weight.detach().float().abs().flatten(1).amax(1) / self.high).clamp_min(SMALLEST)
        zeros_O = torch.zeros_like(scale_O, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            weight.float(), scale_O, zeros_O, 0, -self.high, self.high
        )


class Ranged(nn.Module):
    """x -> x on the grid of 256 values between running extremes."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._watch(x.detach().float())
        scale = ((self.high - self.low) / LEVELS).clamp_min(SMALLEST)
        zero = (-self.low / scale).round().clamp(0, LEVELS).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, LEVELS).to(x.dtype)

    @torch.no_grad()
    def _watch(self, x: Tensor) -> None:
        """The range always holds zero, which padding writes."""
        low, high = x.amin().clamp_max(0.0), x.amax().clamp_min(0.0)
        weight = 1.0 if not (self.low.any() or self.high.any()) else MOMENTUM
        self.low.lerp_(low, weight)
        self.high.lerp_(high, weight)


@contextmanager
def simulated(module: nn.Module, *, is_narrow: bool = False) -> Iterator[nn.Module]:
    """Has a net compute in simulated int8 while it lasts; afterwards it is plain, its weights on the grid.

    The first batch in train mode sets the ranges, so one has to pass before the net answers in eval mode.

    Args:
        is_narrow: weights of 7 bits, as `quantizers` has them on CPUs without VNNI.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel()
    ]
    hooks = []
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", Rounded(HIGH_NARROW if is_narrow else HIGH))
        layer.add_module("taken", Ranged())
        hooks.append(layer.register_forward_pre_hook(_round_inputs))
    try:
        yield module
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            del layer.taken
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def _round_inputs(layer: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (layer.taken(inputs[0]), *inputs[1:])
