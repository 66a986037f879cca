"""discriminator: real or made, one answer per class: convolutions that halve a picture, and no norms.

What it says of a picture of class y is output y: the inner product of its features with a vector of that
class and one of all (Miyato and Koyama 2018, section 3, with the classes' vectors as rows of the head).

Shapes: B rows, C channels, H height, W width, F features, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from lichen.nets.generator import num_halvings

SLOPE = 0.2


class Head(nn.Module):
    """What all classes have in common, and what is each one's own."""

    def __init__(self, num_features: int, num_outputs: int) -> None:
        super().__init__()
        self.shared = nn.Linear(num_features, 1)
        self.own = nn.Linear(num_features, num_outputs, bias=False)

    def forward(self, x_BF: Tensor) -> Tensor:
        return self.shared(x_BF) + self.own(x_BF)


class Discriminator(nn.Module):
    """Convolutions of stride 2 as far as the side can be halved, then one more that looks at it all."""

    def __init__(self, in_shape: tuple[int, int, int], num_outputs: int, width: int) -> None:
        super().__init__()
        channels, side, breadth = in_shape
        count = min(num_halvings(side), num_halvings(breadth))
        layers: list[nn.Module] = []
        wide = width
        for place in range(count):
            wide = width * 2 ** min(2, place)
            layers += [nn.Conv2d(channels, wide, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            channels, side, breadth = wide, side // 2, breadth // 2
        layers += [nn.Conv2d(channels, 2 * wide, 3, 2, 1), nn.LeakyReLU(SLOPE), nn.Flatten()]
        self.body = nn.Sequential(*layers)
        self.head = Head(2 * wide * ((side + 1) // 2) * ((breadth + 1) // 2), num_outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(layer.weight)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(*, in_shape: tuple[int, int, int], num_outputs: int, width: int = 32) -> nn.Module:
    """A fresh net.

    Args:
        width: channels of the first convolution; later ones have up to four times as many.
    """
    return Discriminator(in_shape, num_outputs, width)
