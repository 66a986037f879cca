"""bert: an encoder of texts as BERT's files hold it: learnt places, norms after each half of a block.

Without outputs it gives what its tokens stand for as one vector, which is what sentence encoders are read by;
with `num_outputs` a head tells the kind of a text from that vector. That of the one segment that is read is a
part of the places'. A RoBERTa and a DistilBERT are this net too: what they differ by is in their tables.

Papers: Devlin et al. 2019; Liu et al. 2019 (RoBERTa); Sanh et al. 2019 (DistilBERT); Wang et al. 2020
(MiniLM); Reimers and Gurevych 2019, section 3 (pooling).
Shapes: B batch, T tokens, V different ones, D width, H heads, K width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError
from lichen.layers.pooling import pooled, require_known

TAKES = "tokens"
PAD = 0
SHORT = 128
"""Tokens up to which plain products train faster in bfloat16 on a CPU: there the way back through torch's
fused attention took 65 ms of 48 tokens and 88 ms of 96 (32 texts, 12 heads), through products 6 and 17 ms."""


class Block(nn.Module):
    """x = norm(x + attention(x)), then the same with two dense layers."""

    def __init__(self, width: int, num_heads: int, hidden: int, epsilon: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.after_attention = nn.LayerNorm(width, epsilon)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.after_mlp = nn.LayerNorm(width, epsilon)

    def forward(self, x_BTD: Tensor, is_told_B11T: Tensor, dropout: nn.Dropout) -> Tensor:
        q_BHTK, k_BHTK, v_BHTK = (
            part(x_BTD).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed_BHTK = mixed(q_BHTK, k_BHTK, v_BHTK, is_told_B11T)
        x_BTD = self.after_attention(x_BTD + dropout(self.out(mixed_BHTK.transpose(1, 2).flatten(2))))
        return self.after_mlp(x_BTD + dropout(self.down(functional.gelu(self.up(x_BTD)))))


def mixed(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, is_told_B11T: Tensor) -> Tensor:
    """Softmax of q k' / sqrt(K) over what is told, times v."""
    is_learnt = q_BHTK.requires_grad and q_BHTK.dtype == torch.bfloat16 and q_BHTK.device.type == "cpu"
    if not is_learnt or q_BHTK.shape[2] > SHORT:
        return functional.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, attn_mask=is_told_B11T)
    alike_BHTT = (q_BHTK * q_BHTK.shape[-1] ** -0.5) @ k_BHTK.transpose(-2, -1)
    alike_BHTT = alike_BHTT.masked_fill(~is_told_B11T, -torch.inf)
    return functional.softmax(alike_BHTT, -1, dtype=torch.float32).to(v_BHTK.dtype) @ v_BHTK


class Bert(nn.Module):
    """head(pooled(blocks(norm(tokens + places))))."""

    def __init__(
        self, blocks: list[Block], num_tokens: int, num_places: int, num_outputs: int, *, width: int,
        epsilon: float, dropout: float, pooling: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pooling = pooling
        self.tokens = nn.Embedding(num_tokens, width, padding_idx=PAD)
        self.places = nn.Embedding(num_places, width)
        self.norm = nn.LayerNorm(width, epsilon)
        self.blocks = nn.ModuleList(blocks)
        self.head: nn.Module = nn.Linear(width, num_outputs) if num_outputs else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def features(self, x_BT: Tensor) -> Tensor:
        return pooled(self.each(x_BT), x_BT != PAD, self.pooling)

    def each(self, x_BT: Tensor) -> Tensor:
        """(B, T, D): what every token stands for among the others."""
        is_told_BT = x_BT != PAD
        is_told_BT[:, 0] = True  # an empty text is one PAD
        place_T = torch.arange(x_BT.shape[1], device=x_BT.device)
        x_BTD = self.dropout(self.norm(self.tokens(x_BT) + self.places(place_T)))
        for block in self.blocks:
            x_BTD = block(x_BTD, is_told_BT[:, None, None], self.dropout)
        return x_BTD

    def forward(self, x_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BT))


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    depth: int = 6,
    width: int = 384,
    num_heads: int = 12,
    hidden: int | None = None,
    num_places: int = 512,
    epsilon: float = 1e-12,
    dropout: float = 0.1,
    pooling: str = "mean",
) -> nn.Module:
    """A fresh net, as BERT starts.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        num_outputs: 0: the vector of a text itself, (B, D).
        hidden: width of the dense layers; None: four times the width.
        num_places: places that have a vector, T at least.
        pooling: what a text's vector is: the mean of its tokens', that of the first (cls) or the last, or the
            largest of each number (max).

    Raises:
        OptionError: a width that the heads do not divide, fewer places than tokens, or an unknown pooling.
    """
    if width % num_heads:
        raise OptionError(f"a width of {width} cannot be {num_heads} heads of equal width")
    if num_places < in_shape[0]:
        raise OptionError(f"a text of {in_shape[0]} tokens must have as many places, not {num_places}",
                          hint=f"max_tokens={num_places}")  # fmt: skip
    blocks = [Block(width, num_heads, hidden or 4 * width, epsilon) for _ in range(depth)]
    net = Bert(
        blocks, in_shape[1], num_places, num_outputs, width=width, epsilon=epsilon, dropout=dropout,
        pooling=require_known(pooling),
    )  # fmt: skip
    for part in net.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)  # Devlin et al.'s
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    with torch.no_grad():
        net.tokens.weight[PAD].zero_()
    return net
