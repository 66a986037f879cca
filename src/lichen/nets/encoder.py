"""encoder: every token of a text reads all others of its document, before and after; the text is their mean.

Blocks are those of `gpt`: norms before each half, queries and keys that turn with their distance; what is
seen is all of a token's own document, and nothing of what fills the text up.

Papers: Vaswani et al. 2017; Devlin et al. 2019 (both sides); for the parts see `layers`.
Shapes: B batch, T tokens, S tokens seen, V different ones, D width, K width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError
from lichen.layers.attention import Attention
from lichen.layers.block import Block, Mlp, Norm, hidden_width, start
from lichen.layers.rotary import turns

TAKES = "tokens"
PAD = 0
HEAD_WIDTH = 32
EPSILON = 1e-6
EMBEDDED_STD = 0.5
"""Of a token's vector; see `gpt`."""


class Encoder(nn.Module):
    """head(mean(norm(blocks(tokens)))); in training whole tokens are dropped now and then.

    Args:
        end: the token that a document begins with.
    """

    def __init__(
        self, blocks: list[Block], num_tokens: int, num_outputs: int, *, width: int, end: int, base: float,
        dropout: float, token_dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokens = nn.Embedding(num_tokens, width, padding_idx=PAD)
        self.blocks = nn.ModuleList(blocks)
        self.norm = Norm(width, EPSILON)
        self.head = nn.Linear(width, num_outputs)
        self.dropout = nn.Dropout(dropout)
        self.end, self.base, self.token_dropout = end, base, token_dropout

    def features(self, x_BT: Tensor) -> Tensor:
        is_told_BT1 = (x_BT != PAD)[..., None]
        count_B1 = is_told_BT1.sum(1).clamp(min=1)
        return self.dropout((self.each(x_BT) * is_told_BT1).sum(1) / count_B1)

    def each(self, x_BT: Tensor) -> Tensor:
        """(B, T, D): what every token stands for among the others of its document."""
        place_T = torch.arange(x_BT.shape[1], device=x_BT.device)
        turn_TK = turns(place_T, self.head_width, self.base)
        seen_BTS = seen(x_BT, self.end)
        kept_BT1 = functional.dropout(torch.ones_like(x_BT, dtype=torch.float32), self.token_dropout,
                                      self.training)[..., None]  # fmt: skip
        x_BTD = self.dropout(self.tokens(x_BT) * kept_BT1)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, turn_TK, seen_BTS, None, layer)
        return self.norm(x_BTD)

    @property
    def head_width(self) -> int:
        return self.blocks[0].attention.head_width  # type: ignore[union-attr, return-value]

    def forward(self, x_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BT))


def seen(x_BT: Tensor, end: int) -> Tensor:
    """bool (B, T, S): tokens of one document; what fills up sees its like, so that none sees nothing."""
    document_BT = (x_BT == end).cumsum(1).masked_fill(x_BT == PAD, -1)
    return document_BT[:, :, None] == document_BT[:, None]


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int,
    depth: int = 2,
    width: int = 128,
    num_heads: int | None = None,
    mlp: str = "swiglu",
    hidden: int | None = None,
    base: float = 10_000.0,
    dropout: float = 0.1,
    token_dropout: float = 0.1,
    end: int = 1,
) -> nn.Module:
    """A fresh net.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        num_heads: None: so that a head is 32 wide, or all of the width.
        mlp: relu2 or swiglu. hidden: its width; None: four times the width of relu2, of swiglu as many
            parameters.
        base: of the angles; a larger one tells longer distances apart.
        token_dropout: share of the tokens that are not heard, another draw at every step.

    Raises:
        OptionError: sizes that do not divide each other, or an unknown `mlp`.
    """
    num_heads = num_heads or max(1, width // HEAD_WIDTH)
    hidden = hidden_width("encoder", mlp, width, hidden)
    if width % num_heads or width // num_heads % 2:
        raise OptionError(f"a width of {width} must be {num_heads} heads of an even width")
    blocks = [
        Block(Attention(width, num_heads, num_heads, True, EPSILON),
              Mlp(width, hidden, mlp == "swiglu"), width, EPSILON)
        for _ in range(depth)
    ]  # fmt: skip
    net = Encoder(blocks, in_shape[1], num_outputs, width=width, end=end, base=base, dropout=dropout,
                  token_dropout=token_dropout)  # fmt: skip
    start(net.blocks)
    with torch.no_grad():
        net.tokens.weight.normal_(std=EMBEDDED_STD)[PAD].zero_()
    return net
