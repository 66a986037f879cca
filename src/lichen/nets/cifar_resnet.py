"""cifar_resnet: thin residual nets for 32x32 pictures: three stages of 16, 32 and 64 channels.

Paper: He et al. 2016, section 4.2: depth 6n + 2, shortcuts of option A (padded with zeros, no parameters).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError

VARIANTS = {
    "resnet20": {"depth": 20},
    "resnet32": {"depth": 32},
    "resnet44": {"depth": 44},
    "resnet56": {"depth": 56},
    "resnet110": {"depth": 110},
}
WIDTHS = (16, 32, 64)


class Shortcut(nn.Module):
    """Every second pixel, with zeros for the channels that the input lacks.

    In a pruned net `taken` says per output channel which input channel it is, -1 meaning zeros. A net of the
    paper's widths has no such tensor.
    """

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.before = (width - fan_in) // 2
        self.after = width - fan_in - self.before
        self.stride = stride
        self.width = width
        self.register_buffer("taken", None)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = x_BCHW[:, :, :: self.stride, :: self.stride]
        if self.taken is None:
            return functional.pad(x_BCHW, (0, 0, 0, 0, self.before, self.after))
        # The zeros stand first, so that -1 is the place 0.
        return functional.pad(x_BCHW, (0, 0, 0, 0, 1, 0)).index_select(1, self.taken + 1)

    @property
    def out_channels(self) -> int:
        return self.width if self.taken is None else len(self.taken)

    def table(self) -> Tensor:
        """int64: what `taken` is, also where it is not written down."""
        if self.taken is not None:
            return self.taken
        places = torch.arange(self.width) - self.before
        return places.where(places < self.width - self.before - self.after, -1).clamp(min=-1)

    def drop_outputs(self, gone: list[int]) -> None:
        self.taken = torch.tensor(
            [source for place, source in enumerate(self.table().tolist()) if place not in set(gone)]
        )

    def drop_inputs(self, gone: list[int]) -> None:
        """What took a channel that is gone takes zeros from now on."""
        removed = set(gone)
        self.taken = torch.tensor([
            -1 if source in removed or source < 0 else source - sum(one < source for one in removed)
            for source in self.table().tolist()
        ])  # fmt: skip


class Block(nn.Module):
    """relu(x + f(x)); the shortcut changes shape where the block does."""

    INNER = "conv1"
    """Without a channel in this layer the block is its shortcut alone: pruning may take it out whole."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        changes = stride != 1 or fan_in != width
        self.shortcut = Shortcut(fan_in, width, stride) if changes else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if len(self.conv1.weight) == 0:
            return functional.relu(self.shortcut(x_BCHW))
        y_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)))
        return functional.relu(self.bn2(self.conv2(y_BCHW)) + self.shortcut(x_BCHW))


class ResNet(nn.Module):
    """A convolution, three stages of blocks, the mean over pixels."""

    def __init__(self, in_channels: int, num_outputs: int, num_blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], num_blocks, 1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], num_blocks, 2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], num_blocks, 2)
        self.head = nn.Linear(WIDTHS[2], num_outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)

    def features(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)))
        return self.layer3(self.layer2(self.layer1(x_BCHW))).mean((2, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def _stage(fan_in: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = Block(fan_in, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(num_blocks - 1)))


def build(*, in_shape: tuple[int, int, int], num_outputs: int, depth: int = 20) -> nn.Module:
    """A fresh net.

    Args:
        depth: layers, 6 n + 2: the variants are 20, 32, 44, 56 and 110.
    """
    if depth < 8 or (depth - 2) % 6:
        raise OptionError(f"the depth must be 6 n + 2, such as 20, 32 or 56; it is {depth}")
    return ResNet(in_shape[0], num_outputs, (depth - 2) // 6)
