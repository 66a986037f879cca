"""mlp: fully connected layers over flattened pixels, or over numbers.

Shapes: B batch, I inputs (C * H * W, or as many as there are), F features.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda _: [],
    "layer": lambda n: [nn.LayerNorm(n)],
}


class MLP(nn.Module):
    """y = head(s(W x + b)), with `depth` hidden layers."""

    def __init__(
        self, num_inputs: int, num_outputs: int, width: int, depth: int, activation: str, norm: str
    ) -> None:
        super().__init__()
        widths = [num_inputs] + [width] * depth
        layers = [
            part
            for fan_in, fan_out in pairwise(widths)
            for part in (nn.Linear(fan_in, fan_out), *NORMS[norm](fan_out), ACTIVATIONS[activation]())
        ]
        self.body = nn.Sequential(nn.Flatten(), *layers)
        self.head = nn.Linear(widths[-1], num_outputs)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(
    *,
    in_shape: tuple[int, ...],
    num_outputs: int,
    width: int = 128,
    depth: int = 2,
    activation: Literal["relu", "gelu", "tanh", "sigmoid"] = "relu",
    norm: Literal["none", "layer"] = "none",
) -> nn.Module:
    """A fresh net.

    Args:
        width: of every hidden layer.
        depth: hidden layers.
        norm: layer: a layer norm before each activation.
    """
    return MLP(prod(in_shape), num_outputs, width, depth, activation, norm)
