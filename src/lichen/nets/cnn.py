"""cnn: three convolutions with pooling and one dense layer: the plain first net for small pictures."""

from __future__ import annotations

from torch import Tensor, nn


class CNN(nn.Module):
    """3x3 convolutions of growing width, each halved by max pooling while pixels last."""

    def __init__(
        self, in_shape: tuple[int, int, int], num_outputs: int, widths: list[int], dense: int
    ) -> None:
        super().__init__()
        channels, height, breadth = in_shape
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            if min(height, breadth) >= 4:
                layers.append(nn.MaxPool2d(2))
                height, breadth = height // 2, breadth // 2
            channels = width
        layers += [nn.Flatten(), nn.Linear(channels * height * breadth, dense), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(dense, num_outputs)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(
    *,
    in_shape: tuple[int, int, int],
    num_outputs: int,
    widths: list[int] | tuple[int, ...] = (32, 64, 128),
    dense: int = 128,
) -> nn.Module:
    """A fresh net.

    Args:
        widths: channels of the three convolutions.
        dense: width of the layer before the head.
    """
    return CNN(in_shape, num_outputs, list(widths), dense)
