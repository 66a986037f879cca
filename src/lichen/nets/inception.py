"""inception: the net in whose features the Frechet inception distance is defined.

Papers: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision"; Heusel et al. 2017.
Departs from torchvision's form as the weights of 2015-12-05 do: a mean over neighbours counts those within
the picture only, and the last block takes their maximum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError, missing_package

try:
    from torchvision.models import inception
except ImportError:
    raise missing_package("torchvision", "vision") from None

NUM_FEATURES = 2048
SMALLEST = 75
"""The side below which nothing is left after the last stride."""


def near_mean(x_BCHW: Tensor) -> Tensor:
    """The mean of each pixel and its neighbours, without those beyond the edge."""
    return functional.avg_pool2d(x_BCHW, 3, 1, 1, count_include_pad=False)


def near_max(x_BCHW: Tensor) -> Tensor:
    return functional.max_pool2d(x_BCHW, 3, 1, 1)


class Fives(inception.InceptionA):
    """Branches of 1x1, 5x5 and twice 3x3 convolutions, and of means."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        fives = self.branch5x5_2(self.branch5x5_1(x_BCHW))
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x_BCHW)))
        return torch.cat([self.branch1x1(x_BCHW), fives, threes, self.branch_pool(near_mean(x_BCHW))], 1)


class Sevens(inception.InceptionC):
    """Branches of 7x7 convolutions, each as a row and a column, and of means."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x_BCHW)))
        twice = self.branch7x7dbl_1(x_BCHW)
        for layer in (self.branch7x7dbl_2, self.branch7x7dbl_3, self.branch7x7dbl_4, self.branch7x7dbl_5):
            twice = layer(twice)
        return torch.cat([self.branch1x1(x_BCHW), once, twice, self.branch_pool(near_mean(x_BCHW))], 1)


class Forks(inception.InceptionE):
    """Branches that end in a row and a column side by side, and one of `pool`."""

    pool = staticmethod(near_mean)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        once = self.branch3x3_1(x_BCHW)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x_BCHW))
        return torch.cat(
            [
                self.branch1x1(x_BCHW),
                *(self.branch3x3_2a(once), self.branch3x3_2b(once)),
                *(self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)),
                self.branch_pool(self.pool(x_BCHW)),
            ],
            1,
        )


class Inception(nn.Module):
    """torchvision's net of these blocks, and a head of our own."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        blocks: list[Any] = [inception.BasicConv2d, Fives, inception.InceptionB, Sevens, inception.InceptionD,
                             Forks, inception.InceptionAux]  # fmt: skip
        self.body = inception.Inception3(aux_logits=False, inception_blocks=blocks, init_weights=False)
        self.body.Mixed_7c.pool = near_max
        self.body.fc = nn.Identity()
        self.head = nn.Linear(NUM_FEATURES, num_outputs)
        for layer in self.body.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, 2048)."""
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(*, in_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
    channels, height, breadth = in_shape
    if channels != 3 or min(height, breadth) < SMALLEST:
        raise UsageError(f"inception takes colour pictures of {SMALLEST} pixels a side at least; "
                         f"these are {list(in_shape)}", hint="image_size=299")  # fmt: skip
    return Inception(num_outputs)


def expected(variant: str) -> dict[str, Any]:
    """How pictures are given to it: from -1 to 1, 299 pixels a side."""
    return {"mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 299}
