"""airbench: a small convolutional net made to be trained fast: whitened patches, then three blocks.

Paper: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", sections 2 and 3. The first layer's
filters are the whitening of 2x2 patches of the train rows, each once more with the other sign, and stay as
they are. Convolutions begin as the identity, norms have no scale to learn, outputs are scaled down.
Departs from it: the side may be any; pictures are halved while they have pixels.

Shapes: B rows, C channels, H height, W width, P patches, I numbers of a patch (4 C), F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 2
"""Of the whitened patches."""
LEAST = 5e-4
"""Added to the variance of each direction: those that hardly vary are not blown up."""
MEMORY = 0.4
"""The weight of the newest batch in the running figures of the norms."""
SCALE = 1 / 9
"""Of the outputs, so that training begins with unsure answers."""


class Airbench(nn.Module):
    """y = W max(blocks(gelu(whiten(x)))) / 9."""

    def __init__(self, in_channels: int, side: int, num_outputs: int, widths: list[int]) -> None:
        super().__init__()
        num_filters = 2 * in_channels * SIDE**2
        self.whiten = nn.Conv2d(in_channels, num_filters, SIDE)
        self.whiten.weight.requires_grad_(False)
        self.whiten.bias = nn.Parameter(torch.zeros(num_filters))
        blocks, side = [], side - SIDE + 1
        for fan_in, width in zip([num_filters, *widths], widths):
            blocks.append(_block(fan_in, width, is_halved=side >= 2))
            side = max(1, side // 2)
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], num_outputs, bias=False)

    @torch.no_grad()
    def prime(self, x_BCHW: Tensor) -> None:
        """Sets the first layer to the whitening of patches of train rows."""
        filters = whitening(x_BCHW)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(functional.gelu(self.whiten(x_BCHW))).amax((2, 3)) * SCALE

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def whitening(x_BCHW: Tensor) -> Tensor:
    """Filters (I, C, 2, 2) whose answers on patches are uncorrelated, of variance 1, the largest last."""
    patches_IP = functional.unfold(x_BCHW.double(), SIDE).transpose(0, 1).flatten(1)
    patches_IP = patches_IP - patches_IP.mean(1, keepdim=True)
    variances_I, directions_II = torch.linalg.eigh(patches_IP @ patches_IP.T / patches_IP.shape[1])
    filters_II = directions_II.T / (variances_I + LEAST).sqrt()[:, None]
    return filters_II.unflatten(1, (x_BCHW.shape[1], SIDE, SIDE)).to(x_BCHW.dtype)


def _block(fan_in: int, width: int, *, is_halved: bool) -> nn.Sequential:
    first, second = _convolution(fan_in, width), _convolution(width, width)
    pool = [nn.MaxPool2d(2)] if is_halved else []
    return nn.Sequential(first, *pool, _norm(width), nn.GELU(), second, _norm(width), nn.GELU())


def _convolution(fan_in: int, width: int) -> nn.Conv2d:
    """The first filters hand the input through; the others are random."""
    made = nn.Conv2d(fan_in, width, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(made.weight[: min(fan_in, width)])
    return made


def _norm(width: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(width, momentum=MEMORY)
    made.weight.requires_grad_(False)
    return made


def build(
    *,
    in_shape: tuple[int, int, int],
    num_outputs: int,
    widths: list[int] | tuple[int, ...] = (64, 256, 256),
) -> nn.Module:
    """A fresh net.

    Args:
        widths: channels of the three blocks.
    """
    channels, height, breadth = in_shape
    return Airbench(channels, min(height, breadth), num_outputs, list(widths))
