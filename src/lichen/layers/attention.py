"""attention: tokens read others: all before them, those of their document, or those that they are told.

Papers: Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries); Henry et al. 2020 (norm of queries and
keys).
Shapes: B batch, T tokens, S tokens seen, D width, H heads, G heads of keys, K width of a head, Q tokens of
all rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.layers.cache import Cache
from lichen.layers.rotary import turned

Seen = Tensor | list[int] | None
"""bool (B, T, S): the tokens of its document up to itself; or how long documents are, row after row; None:
simply all up to itself."""


class Attention(nn.Module):
    """Softmax of q k' / sqrt(K) over what may be seen; groups of query heads share keys and values.

    Args:
        head_width: None: so that all heads together are as wide as what they read.
    """

    def __init__(
        self, width: int, num_heads: int, num_kv_heads: int, qk_norm: bool, epsilon: float,
        head_width: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.head_width = head_width or width // num_heads
        self.qk_norm = qk_norm
        self.epsilon = epsilon
        self.query = nn.Linear(width, num_heads * self.head_width, bias=False)
        self.key = nn.Linear(width, num_kv_heads * self.head_width, bias=False)
        self.value = nn.Linear(width, num_kv_heads * self.head_width, bias=False)
        self.out = nn.Linear(num_heads * self.head_width, width, bias=False)

    def forward(
        self, x_BTD: Tensor, turn_B1TK: Tensor, seen_BTS: Seen, cache: Cache | None, layer: int
    ) -> Tensor:
        q_BHTK, k_BGTK, v_BGTK = (
            part(x_BTD).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        if self.qk_norm:
            q_BHTK, k_BGTK = (
                functional.rms_norm(x, x.shape[-1:], eps=self.epsilon) for x in (q_BHTK, k_BGTK)
            )
        q_BHTK, k_BGTK = turned(q_BHTK, turn_B1TK), turned(k_BGTK, turn_B1TK)
        if cache is not None:
            k_BGTK, v_BGTK = cache.take(layer, k_BGTK, v_BGTK)
        groups = q_BHTK.shape[1] // k_BGTK.shape[1]
        if groups > 1:
            k_BGTK, v_BGTK = (x.repeat_interleave(groups, 1) for x in (k_BGTK, v_BGTK))
        if isinstance(seen_BTS, list):
            mixed_BHTK = one_by_one(q_BHTK, k_BGTK, v_BGTK, seen_BTS)
        else:
            mixed_BHTK = functional.scaled_dot_product_attention(
                q_BHTK, k_BGTK, v_BGTK, is_causal=seen_BTS is None and q_BHTK.shape[2] > 1,
                attn_mask=None if seen_BTS is None else seen_BTS[:, None],
            )  # fmt: skip
        return self.out(mixed_BHTK.transpose(1, 2).flatten(2))


def stretches(starts_BT: Tensor) -> list[int]:
    """Tokens of each document, row after row."""
    is_first_BT = starts_BT.clone()
    is_first_BT[:, 0] = True
    first_D = is_first_BT.flatten().nonzero()[:, 0]
    return first_D.diff(append=first_D.new_tensor([starts_BT.numel()])).tolist()


def one_by_one(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, lengths: list[int]) -> Tensor:
    """Attention within each document, in float32: in halves of that a CPU's is slower."""
    with torch.autocast("cpu", enabled=False):
        ends = (x.float().transpose(0, 1).flatten(1, 2) for x in (q_BHTK, k_BHTK, v_BHTK))
        parts = zip(*(x_HQK.split(lengths, 1) for x_HQK in ends))
        mixed = [functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
                 for q, k, v in parts]  # fmt: skip
    mixed_HQK = torch.cat(mixed, 1)
    return mixed_HQK.unflatten(1, (len(q_BHTK), -1)).transpose(0, 1)
