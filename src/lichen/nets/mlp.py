"""mlp: fully connected layers over flattened pixels.

Shapes: B batch, I inputs (C * H * W), F features.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class MLP(nn.Module):
    """y = head(s(W x + b)), with `depth` hidden layers."""

    def __init__(self, num_inputs: int, num_outputs: int, width: int, depth: int, activation: str) -> None:
        super().__init__()
        widths = [num_inputs] + [width] * depth
        layers = [
            part
            for fan_in, fan_out in pairwise(widths)
            for part in (nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]())
        ]
        self.body = nn.Sequential(nn.Flatten(), *layers)
        self.head = nn.Linear(widths[-1], num_outputs)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(
    *,
    in_shape: tuple[int, int, int],
    num_outputs: int,
    width: int = 128,
    depth: int = 2,
    activation: Literal["relu", "gelu", "tanh", "sigmoid"] = "relu",
) -> nn.Module:
    channels, height, breadth = in_shape
    return MLP(channels * height * breadth, num_outputs, width, depth, activation)
