"""nature: three convolutions with strides and one dense layer, for the last few frames of a game.

Papers: Mnih et al. 2015, methods, "model architecture"; norms after each layer: Gallici et al. 2025.

Shapes: B batch, C frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

LAYERS = ((8, 4), (4, 2), (3, 1))
"""Side of a filter and stride of each convolution."""
NORMS: dict[str, Callable[[Any], list[nn.Module]]] = {
    "none": lambda _: [],
    "layer": lambda shape: [nn.LayerNorm(shape)],
}


class Nature(nn.Module):
    """Filters are no larger than what they see, so that small pictures pass as well."""

    def __init__(
        self, in_shape: tuple[int, ...], num_outputs: int, widths: list[int], dense: int, norm: str
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        shape = torch.Size(in_shape)
        for width, (side, stride) in zip(widths, LAYERS, strict=True):
            kernel = min(side, shape[1]), min(side, shape[2])
            convolution = nn.Conv2d(shape[0], width, kernel, stride)
            shape = torch.Size([width, *((n - k) // stride + 1 for n, k in zip(shape[1:], kernel))])
            layers += [convolution, *NORMS[norm](shape), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(shape.numel(), dense), *NORMS[norm](dense), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(dense, num_outputs)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(
    *,
    in_shape: tuple[int, ...],
    num_outputs: int,
    widths: list[int] | tuple[int, ...] = (32, 64, 64),
    dense: int = 512,
    norm: Literal["none", "layer"] = "none",
) -> nn.Module:
    """A fresh net.

    Args:
        widths: channels of the three convolutions.
        dense: width of the layer before the head.
        norm: layer: norms before each activation.
    """
    return Nature(in_shape, num_outputs, list(widths), dense, norm)
