"""block: attention and two or three dense layers, a norm before each; both add to what they read.

Papers: Zhang and Sennrich 2019 (norm); Xiong et al. 2020 (norms before layers); Shazeer 2020 (SwiGLU); So et
al. 2021 (ReLU^2).
Shapes: B batch, T tokens, S tokens seen, D width, K width of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError
from lichen.layers.attention import Attention, Seen
from lichen.layers.cache import Cache

MLPS = ("relu2", "swiglu")
ADDING = ("attention.out.weight", "lookback.out.weight", "mlp.down.weight")
"""The last layer of each part that adds to what it reads."""


class Norm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x_BTD: Tensor) -> Tensor:
        return functional.rms_norm(x_BTD, self.weight.shape, self.weight, self.epsilon)


class Mlp(nn.Module):
    """down(relu(up(x))^2), or, gated, down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, hidden: int, is_gated: bool) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False) if is_gated else None
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(functional.relu(self.up(x_BTD)).square())
        return self.down(functional.silu(self.gate(x_BTD)) * self.up(x_BTD))


class Block(nn.Module):
    """Attention, then the same layers for every token by itself; each adds to what it reads."""

    def __init__(self, attention: Attention, mlp: Mlp, width: int, epsilon: float) -> None:
        super().__init__()
        self.before_attention, self.attention = Norm(width, epsilon), attention
        self.before_mlp, self.mlp = Norm(width, epsilon), mlp

    def forward(
        self, x_BTD: Tensor, turn_B1TK: Tensor, seen_BTS: Seen, cache: Cache | None, layer: int
    ) -> Tensor:
        x_BTD = x_BTD + self.attention(self.before_attention(x_BTD), turn_B1TK, seen_BTS, cache, layer)
        return x_BTD + self.mlp(self.before_mlp(x_BTD))


def hidden_width(net: str, mlp: str, width: int, hidden: int | None) -> int:
    """Of an mlp: as told; else four times the width of relu2, of swiglu what makes as many parameters.

    Raises:
        OptionError: another kind of mlp.
    """
    if mlp not in MLPS:
        raise OptionError(f"`mlp` of {net} must be relu2 or swiglu, not `{mlp}`")
    return hidden or (-(-8 * width // 24) * 8 if mlp == "swiglu" else 4 * width)


@torch.no_grad()
def start(part: nn.Module) -> None:
    """Blocks that add nothing yet, and all else of unit gain."""
    for name, parameter in part.named_parameters():
        if name.endswith(ADDING):
            parameter.zero_()
        elif parameter.ndim == 2:
            parameter.normal_(std=1.0 / math.sqrt(parameter.shape[1]))
