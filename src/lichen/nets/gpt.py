"""gpt: a decoder of documents: every token reads those before it in its document and tells the next.

One dial, `depth`: width 64 per layer, heads 64 wide. Norms stand before each half of a block; queries and
keys turn with their distance, so only distances count; a document begins at `end`, or, where any number is
marked by its complement, at such; nothing before it is seen. Numbers beyond the vocabulary stand for vectors
that were learnt alone, a prompt that no text can say (Lester et al. 2021). With `num_outputs` it tells the
kind of a whole text, read at its last token, instead.

Papers: Radford et al. 2019; for the parts see `layers`.
Shapes: B batch, T tokens, S tokens seen, V different ones, D width, K width of a head or kinds of texts, R
columns told.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lichen.core.errors import OptionError
from lichen.layers.attention import Attention, Seen, stretches
from lichen.layers.block import Block, Mlp, Norm, hidden_width, start
from lichen.layers.cache import Cache
from lichen.layers.rotary import turns

TAKES = "tokens"
PAD = 0
HEAD_WIDTH = 64
LONG = 64
"""Tokens of a document on average from which a CPU is faster document by document than with a mask."""
EMBEDDED_STD = 0.5
"""Of a token's vector: far from what blocks add to it at first, which is nothing."""


class Gpt(nn.Module):
    """head(norm(blocks(tokens))).

    Args:
        end: the token that a document begins with.
        reads_whole: features are those at a text's last token, (B, D), instead of at each, (B, T, D).
    """

    def __init__(
        self, blocks: list[Block], norm: Norm, num_tokens: int, *, end: int, base: float, reads_whole: bool,
        num_virtual: int,
    ) -> None:  # fmt: skip
        super().__init__()
        width = len(norm.weight)
        self.end, self.base, self.reads_whole = end, base, reads_whole
        self.tokens = nn.Embedding(num_tokens, width)
        self.virtual = nn.Embedding(num_virtual, width) if num_virtual else None
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = nn.Linear(width, num_tokens, bias=False)

    @property
    def head_width(self) -> int:
        return self.blocks[0].attention.head_width  # type: ignore[union-attr, return-value]

    def cache(self, room: int) -> Cache:
        """An empty cache for so many tokens of a row."""
        return Cache(room=room)

    def features(
        self, x_BT: Tensor, cache: Cache | None = None, place_BT: Tensor | None = None,
        seen_BTS: Seen = None,
    ) -> Tensor:  # fmt: skip
        length = x_BT.shape[1]
        if place_BT is None:
            start = cache.length if cache else 0
            place_BT = torch.arange(start, start + length, device=x_BT.device)[None]
        turn_B1TK = turns(place_BT, self.head_width, self.base)[:, None]
        if seen_BTS is None:
            x_BT, starts_BT = self._begun(x_BT, cache)
            seen_BTS = self._seen(starts_BT, cache)
        x_BTD = self._embedded(x_BT)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, turn_B1TK, seen_BTS, cache, layer)
        if cache:
            cache.length += length
        if self.reads_whole:
            last_B = ((x_BT != PAD) * torch.arange(length, device=x_BT.device)).amax(1)
            x_BTD = x_BTD[torch.arange(x_BT.shape[0], device=x_BT.device), last_B]
        return self.norm(x_BTD)

    def forward(self, x_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, T, V): for each token what the next one may be, in logits; (B, K) of whole texts.

        Args:
            cache: of what was read before these tokens; takes them up.
        """
        return self.head(self.features(x_BT, cache))

    def logits_at(
        self, column_R: Tensor, x_BT: Tensor, cache: Cache, place_BT: Tensor, seen_BTS: Tensor
    ) -> Tensor:
        """(B, R, V): what comes after the tokens of some columns, which stand and see as they are told.

        Args:
            place_BT: how far from its beginning each token stands. seen_BTS: which of all tokens, those of
                the cache first, each one sees.
        """
        return self.head(self.features(x_BT, cache, place_BT, seen_BTS)[:, column_R])

    def _begun(self, x_BT: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """The numbers without marks, and bool (B, T) where documents begin."""
        is_marked = cache is not None and cache.is_marked
        if not is_marked and (torch.compiler.is_exporting() or not bool((x_BT < 0).any())):
            return x_BT, x_BT == self.end
        if cache is not None:
            cache.is_marked = True
        starts_BT = x_BT < 0
        return torch.where(starts_BT, ~x_BT, x_BT), starts_BT

    def _embedded(self, x_BT: Tensor) -> Tensor:
        if self.virtual is None:
            return self.tokens(x_BT)
        beyond_BT = x_BT - self.tokens.num_embeddings
        is_beyond_BT1 = (beyond_BT >= 0)[..., None]
        own_BTD = self.tokens(x_BT.masked_fill(beyond_BT >= 0, PAD))
        return torch.where(is_beyond_BT1, self.virtual(beyond_BT.clamp(min=0)), own_BTD)

    def _seen(self, starts_BT: Tensor, cache: Cache | None) -> Seen:
        if cache is not None:
            document_BS = cache.documents(starts_BT)
        elif torch.compiler.is_exporting() or bool(starts_BT[:, 1:].any()):
            if not torch.compiler.is_exporting() and starts_BT.device.type == "cpu":
                lengths = stretches(starts_BT)
                if starts_BT.numel() >= LONG * len(lengths):
                    return lengths
            document_BS = starts_BT.cumsum(1)
        else:
            return None
        num_before = 0 if cache is None else document_BS.shape[1] - starts_BT.shape[1]
        is_same_BTS = document_BS[:, num_before:, None] == document_BS[:, None]
        return is_same_BTS.tril(num_before)


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    depth: int = 4,
    width: int | None = None,
    num_heads: int | None = None,
    num_kv_heads: int | None = None,
    head_width: int | None = None,
    hidden: int | None = None,
    mlp: str = "relu2",
    qk_norm: bool = True,
    is_tied: bool = False,
    base: float = 10_000.0,
    epsilon: float = 1e-6,
    end: int = 1,
    num_virtual: int = 0,
) -> nn.Module:
    """A fresh net.

    Args:
        in_shape: (T, V), how many tokens a row has and how many different ones there are.
        num_outputs: 0: the next token is told; else this many kinds of texts.
        width: None: 64 per layer. num_heads: None: so that a head is 64 wide, or half the width.
        num_kv_heads: heads of keys and values; None: as many as heads.
        head_width: None: so that all heads together are as wide as the net; where some went they are not.
        hidden: width inside `mlp`; None: four times the width of relu2, of swiglu as many parameters.
        mlp: relu2 or swiglu.
        qk_norm: queries and keys are normed before they meet.
        is_tied: the head's matrix is that of the tokens.
        base: of the angles; a larger one tells longer distances apart.
        num_virtual: vectors of a learnt prompt, numbered from V on.

    Raises:
        OptionError: sizes that do not divide each other, or an unknown `mlp`.
    """
    width = width or HEAD_WIDTH * depth
    num_heads = num_heads or max(1, width // HEAD_WIDTH)
    num_kv_heads = num_kv_heads or num_heads
    hidden = hidden_width("gpt", mlp, width, hidden)
    if head_width is None and width % num_heads == 0:
        head_width = width // num_heads
    if not head_width or head_width % 2 or num_heads % num_kv_heads:
        raise OptionError(
            f"a width of {width} must be {num_heads} heads of an even width, in {num_kv_heads} equal groups"
        )
    if is_tied and num_outputs:
        raise OptionError("a head that tells kinds of texts cannot be tied to the tokens")
    blocks = [
        Block(Attention(width, num_heads, num_kv_heads, qk_norm, epsilon, head_width),
              Mlp(width, hidden, mlp == "swiglu"), width, epsilon)
        for _ in range(depth)
    ]  # fmt: skip
    net = Gpt(blocks, Norm(width, epsilon), in_shape[1], end=end, base=base, reads_whole=bool(num_outputs),
              num_virtual=num_virtual)  # fmt: skip
    if num_outputs:
        net.head = nn.Linear(width, num_outputs)
    _start(net)
    if is_tied:
        net.head.weight = net.tokens.weight
        nn.init.normal_(net.tokens.weight, std=1.0 / math.sqrt(width))
    return net


@torch.no_grad()
def _start(net: Gpt) -> None:
    """Blocks that add nothing yet, and a head that favours nothing."""
    nn.init.normal_(net.tokens.weight, std=EMBEDDED_STD)
    if net.virtual is not None:
        nn.init.normal_(net.virtual.weight, std=EMBEDDED_STD)
    start(net.blocks)
    for parameter in net.head.parameters():
        parameter.zero_()
