"""recurrent: a text read word by word from both ends, by gated units (GRU) or long short-term memory (LSTM).

What fills a text up stands at its end in either direction, so nothing that counts is read after it: the
second reading turns each text around within its own length.

Papers: Cho et al. 2014 (GRU); Hochreiter and Schmidhuber 1997 (LSTM); Schuster and Paliwal 1997 (both ends);
Jozefowicz et al. 2015, section 2 (memory that is kept at first); Gal and Ghahramani 2016 (dropped tokens).
Shapes: B batch, T tokens, V different ones, D width, F features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError, nearest

TAKES = "tokens"
VARIANTS = {"gru": {"cell": "gru"}, "lstm": {"cell": "lstm"}}
PAD = 0
CELLS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM}
POOLS = ("max", "mean", "both")


class Layer(nn.Module):
    """[forwards(x), backwards(x)]: half of the width each."""

    def __init__(self, cell: str, fan_in: int, width: int) -> None:
        super().__init__()
        self.forwards, self.backwards = (CELLS[cell](fan_in, width // 2, batch_first=True) for _ in range(2))

    def forward(self, x_BTD: Tensor, turned_BT: Tensor) -> Tensor:
        ahead_BTD = self.forwards(x_BTD)[0]
        back_BTD = self.backwards(_turned(x_BTD, turned_BT))[0]
        return torch.cat([ahead_BTD, _turned(back_BTD, turned_BT)], -1)


def _turned(x_BTD: Tensor, turned_BT: Tensor) -> Tensor:
    """Each text back to front, what fills it up where it was."""
    return x_BTD.gather(1, turned_BT[..., None].expand(-1, -1, x_BTD.shape[-1]))


class Recurrent(nn.Module):
    """head(relu(W pool(layers(e(x_t))))); in training whole tokens are dropped now and then."""

    def __init__(
        self, layers: list[Layer], num_tokens: int, num_outputs: int, *, embedded: int, width: int, pool: str,
        dropout: float, token_dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokens = nn.Embedding(num_tokens, embedded, padding_idx=PAD)
        self.layers = nn.ModuleList(layers)
        self.hidden = nn.Linear(2 * width if pool == "both" else width, width)
        self.head = nn.Linear(width, num_outputs)
        self.dropout = nn.Dropout(dropout)
        self.pool, self.token_dropout = pool, token_dropout

    def features(self, x_BT: Tensor) -> Tensor:
        place_T = torch.arange(x_BT.shape[1], device=x_BT.device)
        length_B1 = (x_BT != PAD).sum(1, keepdim=True).clamp(min=1)  # an empty text is one PAD
        is_told_BT = place_T < length_B1
        turned_BT = torch.where(is_told_BT, length_B1 - 1 - place_T, place_T)
        kept_BT1 = functional.dropout(torch.ones_like(x_BT, dtype=torch.float32), self.token_dropout,
                                      self.training)[..., None]  # fmt: skip
        x_BTD = self.dropout(self.tokens(x_BT) * kept_BT1)
        with torch.autocast(x_BT.device.type, enabled=False):  # cells take one type for all they are given
            for layer in self.layers:
                x_BTD = self.dropout(layer(x_BTD.float(), turned_BT))
        return self.dropout(functional.relu(self.hidden(self._pooled(x_BTD, is_told_BT, length_B1))))

    def _pooled(self, x_BTD: Tensor, is_told_BT: Tensor, length_B1: Tensor) -> Tensor:
        is_told_BT1 = is_told_BT[..., None]
        pooled = []
        if self.pool != "max":
            pooled.append((x_BTD * is_told_BT1).sum(1) / length_B1)
        if self.pool != "mean":
            # What fills up says what the first token says: -inf would be a range that int8 cannot tell apart.
            pooled.append(x_BTD.where(is_told_BT1, x_BTD[:, :1]).amax(1))
        return torch.cat(pooled, -1)

    def forward(self, x_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BT))


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int,
    cell: str = "gru",
    depth: int = 1,
    width: int = 128,
    embedded: int = 128,
    pool: str = "max",
    dropout: float = 0.3,
    token_dropout: float = 0.1,
) -> nn.Module:
    """A fresh net.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        cell: gru or lstm.
        width: of both directions together. embedded: of a token's vector.
        pool: over the tokens: max, mean, or both side by side.
        token_dropout: share of the tokens that are not heard, another draw at every step.

    Raises:
        OptionError: an unknown cell or pool, or an odd width.
    """
    for name, given, known in (("cell", cell, CELLS), ("pool", pool, POOLS)):
        if given not in known:
            raise OptionError(f"unknown {name} `{given}` of net recurrent", hint=nearest(given, known))
    if width % 2:
        raise OptionError(
            f"the width of recurrent is that of two directions, so it must be even, not {width}"
        )
    layers = [Layer(cell, width if place else embedded, width) for place in range(depth)]
    net = Recurrent(layers, in_shape[1], num_outputs, embedded=embedded, width=width, pool=pool,
                    dropout=dropout, token_dropout=token_dropout)  # fmt: skip
    _start(net)
    return net


@torch.no_grad()
def _start(net: Recurrent) -> None:
    """Tokens close together; memory that is kept at first."""
    nn.init.normal_(net.tokens.weight, std=0.1)
    net.tokens.weight[PAD].zero_()
    for part in net.modules():
        if isinstance(part, nn.LSTM):
            biases = dict(part.named_parameters())["bias_ih_l0"]
            biases[part.hidden_size : 2 * part.hidden_size].fill_(1.0)  # of the gate that forgets
