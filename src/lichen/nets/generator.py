"""generator: pictures from codes and classes: a small map that is doubled up to size.

Scale and shift of all layers but the widest are told by code and class together (self-modulation: Chen et al.
2019). A doubling is enlarging to the nearest pixel, then a 3x3 convolution: no pixel hears more of the map
below than its neighbours do, which else shows as a checkerboard (Odena et al. 2016).

Shapes: B rows, K classes, Z numbers of a code, C channels, O channels out, H height, W width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError

TAKES = "codes"
"""(B, K + Z): the share of each class, which is 1 of one for a row of that class, then the code."""
SMALLEST = 4
"""The side that is never halved further: sides of 8, 16, 32, 64 start there, 28 starts at 7."""


def num_halvings(side: int) -> int:
    """How often a side can be halved without a rest before it falls below SMALLEST."""
    count = 0
    while side % 2 == 0 and side // 2 >= SMALLEST:
        side, count = side // 2, count + 1
    return count


class Modulated(nn.Module):
    """Batch-norm whose scale and shift come from the code."""

    def __init__(self, num_inputs: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.told = nn.Linear(num_inputs, 2 * channels)
        nn.init.normal_(self.told.weight, std=0.02)
        nn.init.zeros_(self.told.bias)

    def forward(self, x_BCHW: Tensor, code_BZ: Tensor) -> Tensor:
        scale_BC, shift_BC = self.told(code_BZ).chunk(2, 1)
        normed_BCHW = self.norm(x_BCHW)
        scale, shift = (told[:, :, None, None].to(normed_BCHW.dtype) for told in (1.0 + scale_BC, shift_BC))
        return torch.addcmul(shift, normed_BCHW, scale)


class Doubling(nn.Module):
    """Enlarging twofold and a 3x3 convolution, as one transposed 4x4 convolution: four products, not nine."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels_out, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        nn.init.orthogonal_(self.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, O, 2 H, 2 W)."""
        # Each pixel is there four times, so a kernel is the sum of four that lie a pixel apart.
        wide_CO34 = functional.pad(self.weight, (0, 1)) + functional.pad(self.weight, (1, 0))
        wide_CO44 = functional.pad(wide_CO34, (0, 0, 0, 1)) + functional.pad(wide_CO34, (0, 0, 1, 0))
        return functional.conv_transpose2d(x_BCHW, wide_CO44, self.bias, stride=2, padding=1)


class Generator(nn.Module):
    """A linear layer to a small map, then doublings, then a convolution to the picture's channels."""

    def __init__(self, num_inputs: int, image_shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, side, _ = image_shape
        count = num_halvings(side)
        widths = [width * 2 ** min(2, count - place) for place in range(count + 1)]
        self.start = (widths[0], side >> count)
        self.first = nn.Linear(num_inputs, widths[0] * self.start[1] ** 2)
        self.norms = nn.ModuleList(Modulated(num_inputs, wide) for wide in widths[:-1])
        self.last = nn.BatchNorm2d(widths[-1])
        self.doublings = nn.ModuleList(Doubling(before, after) for before, after in pairwise(widths))
        to_picture = nn.Conv2d(widths[-1], channels, 3, 1, 1)
        nn.init.orthogonal_(to_picture.weight)
        self.head = nn.Sequential(to_picture, nn.Tanh())

    def features(self, code_BZ: Tensor) -> Tensor:
        wide, side = self.start
        x_BCHW = self.first(code_BZ).unflatten(1, (wide, side, side))
        for norm, doubled in zip(self.norms, self.doublings, strict=True):
            x_BCHW = doubled(functional.relu(norm(x_BCHW, code_BZ)))
        return functional.relu(self.last(x_BCHW))

    def forward(self, code_BZ: Tensor) -> Tensor:
        """(B, C, H, W) in -1 to 1."""
        return self.head(self.features(code_BZ))


def build(
    *, in_shape: tuple[int, int], image_shape: list[int] | tuple[int, ...] = (1, 28, 28), width: int = 32
) -> nn.Module:
    """A fresh net.

    Args:
        image_shape: (C, H, W) of what is made; `generate.gan` gives it.
        width: channels at full size; smaller maps have up to four times as many.
    """
    channels, height, breadth = image_shape
    if height != breadth or height < SMALLEST:
        raise OptionError(f"a generator makes squares of side {SMALLEST} or more, not {height}x{breadth}")
    return Generator(sum(in_shape), (channels, height, breadth), width)


def codes(classes_BK: Tensor, code_BZ: Tensor) -> Tensor:
    """(B, K + Z): what `forward` takes."""
    return torch.cat([classes_BK, code_BZ], 1)
