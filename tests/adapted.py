"""adapted: a small net with batch-norm and a low-rank delta beside its head, as adapters make them."""

from __future__ import annotations

from torch import Tensor, nn


class Adapted(nn.Module):
    def __init__(self, channels: int, num_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(32, num_outputs)
        self.lora_a = nn.Linear(32, 2, bias=False)
        self.lora_b = nn.Linear(2, num_outputs, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        features = self.body(x_BCHW)
        return self.head(features) + self.lora_b(self.lora_a(features))


def build(*, in_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
    return Adapted(in_shape[0], num_outputs)
