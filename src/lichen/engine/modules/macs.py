"""macs: multiply-accumulates of one answer, counted layer by layer in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


def count(module: nn.Module, image_shape: Sequence[int]) -> int:
    """Of the convolutions and linear layers, for one picture (C, H, W)."""
    total = 0

    def add(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        total += _of(layer, output)

    hooks = [
        layer.register_forward_hook(add)
        for layer in module.modules()
        if isinstance(layer, _ConvNd | nn.Linear)
    ]
    try:
        with torch.inference_mode():
            module(torch.zeros(1, *image_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return total


def _of(layer: nn.Module, output: Tensor) -> int:
    """Each number of the output is one sum over a filter, or over the inputs of a linear layer."""
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return output.numel() * weight[0].numel()
