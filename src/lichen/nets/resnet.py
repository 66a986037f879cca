"""resnet: residual nets of two-convolution blocks; small pictures keep their size through the stem.

Paper: He et al. 2016, table 1. Departs from it: pictures under 96 pixels have a 3x3 stem without pooling.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

VARIANTS = {
    "resnet10": {"blocks": [1, 1, 1, 1]},
    "resnet18": {"blocks": [2, 2, 2, 2]},
    "resnet34": {"blocks": [3, 4, 6, 3]},
}
SMALL_SIDE = 96


class Block(nn.Module):
    """relu(x + f(x)), with a 1x1 convolution on the shortcut where the shape changes."""

    INNER = "conv1"
    """Without a channel in this layer the block is its shortcut alone: pruning may take it out whole."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or fan_in != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(fan_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        shortcut_BCHW = x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        if len(self.conv1.weight) == 0:
            return functional.relu(shortcut_BCHW)
        y_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)), inplace=True)
        y_BCHW = self.bn2(self.conv2(y_BCHW))
        return functional.relu(y_BCHW + shortcut_BCHW, inplace=True)


class ResNet(nn.Module):
    """A stem, four stages that double the width and halve the side, the mean over pixels."""

    def __init__(
        self, in_channels: int, num_outputs: int, blocks: list[int], width: int, is_small: bool
    ) -> None:
        super().__init__()
        side, stride = (3, 1) if is_small else (7, 2)
        self.conv1 = nn.Conv2d(in_channels, width, side, stride, side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.Identity() if is_small else nn.MaxPool2d(3, 2, 1)
        widths = [width, *(width * 2**stage for stage in range(4))]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(widths[stage], widths[stage + 1], blocks[stage], 1 if stage == 0 else 2)
            for stage in range(4)
        )
        self.head = nn.Linear(widths[-1], num_outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.pool(functional.relu(self.bn1(self.conv1(x_BCHW)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(x_BCHW)))).mean((2, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def _stage(fan_in: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = Block(fan_in, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(num_blocks - 1)))


def build(
    *,
    in_shape: tuple[int, int, int],
    num_outputs: int,
    blocks: list[int] | tuple[int, ...] = (2, 2, 2, 2),
    width: int = 64,
) -> nn.Module:
    """A fresh net.

    Args:
        blocks: of each of the four stages.
        width: channels of the first stage; each later one has twice as many.
    """
    channels, height, breadth = in_shape
    return ResNet(channels, num_outputs, list(blocks), width, is_small=min(height, breadth) < SMALL_SIDE)
