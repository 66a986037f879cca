"""bag: a text as the mean of what its tokens, and pairs of neighbours, stand for.

Paper: Joulin et al. 2017 (fastText).
Departs from it: one hidden layer above the mean; pairs of tokens instead of words.
Shapes: B batch, T tokens, V different ones, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

TAKES = "tokens"
PAD = 0
"""The number that fills texts up."""
PRIME = 31_337
"""Small enough that products stay below 2**31, beyond which runtimes differ, up to 65 536 tokens."""


class Bag(nn.Module):
    """head(relu(W mean(e(x_t), e'(x_t, x_t+1)))); pairs share `num_pairs` rows by their hash."""

    def __init__(
        self,
        num_tokens: int,
        num_outputs: int,
        width: int,
        num_pairs: int,
        dropout: float,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.token_dropout = token_dropout
        self.tokens = nn.Embedding(num_tokens, width, padding_idx=PAD)
        self.pairs = nn.Embedding(num_pairs, width) if num_pairs else None
        self.hidden = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_outputs)
        for table in (self.tokens, self.pairs):
            if table is not None:
                nn.init.normal_(table.weight, std=0.1)
        with torch.no_grad():
            self.tokens.weight[PAD].zero_()

    def features(self, x_BT: Tensor) -> Tensor:
        if self.training and self.token_dropout:
            x_BT = x_BT * (torch.rand(x_BT.shape, device=x_BT.device) >= self.token_dropout)
        is_told_BT = x_BT != PAD
        total_BD = self.tokens(x_BT).sum(1)
        count_B = is_told_BT.sum(1)
        if self.pairs is not None and x_BT.shape[1] > 1:
            is_pair_BT = is_told_BT[:, 1:] & is_told_BT[:, :-1]
            pair_BT = (x_BT[:, :-1].long() * PRIME + x_BT[:, 1:]) % self.pairs.num_embeddings
            total_BD = total_BD + (self.pairs(pair_BT) * is_pair_BT[..., None]).sum(1)
            count_B = count_B + is_pair_BT.sum(1)
        mean_BD = total_BD / count_B.clamp(min=1)[:, None]
        return self.dropout(functional.relu(self.hidden(self.dropout(mean_BD))))

    def forward(self, x_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BT))


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int,
    width: int = 64,
    num_pairs: int = 16_384,
    dropout: float = 0.2,
    token_dropout: float = 0.0,
) -> nn.Module:
    """A fresh net.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        num_pairs: rows that pairs of tokens share; 0: none are heard.
        token_dropout: share of the tokens that are not heard, another draw at every step.
    """
    return Bag(in_shape[1], num_outputs, width, num_pairs, dropout, token_dropout)
