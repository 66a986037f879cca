"""gpt: a decoder of documents: every token reads those before it in its document and tells the next.

One dial, `depth`: width 64 per layer, heads 64 wide. Norms stand before each half of a block; queries and
keys turn with their distance, so only distances count; a document begins at `end`, or, where any number is
marked by its complement, at such; nothing before it is seen. Numbers beyond the vocabulary stand for vectors
that were learnt alone, a prompt that no text can say (Lester et al. 2021). With `num_outputs` it tells the
kind of a whole text, read at its last token, instead.

Papers: Vaswani et al. 2017; Zhang and Sennrich 2019 (norm); Su et al. 2021 (turning, RoPE); Ainslie et al.
2023 (grouped queries); Henry et al. 2020 (norm of queries and keys); Shazeer 2020 (SwiGLU); So et al. 2021
(ReLU^2).
Shapes: B batch, T tokens, S tokens seen, V different ones, D width, H heads, G heads of keys, K width of a
head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError

TAKES = "tokens"
PAD = 0
HEAD_WIDTH = 64
LONG = 64
"""Tokens of a document on average from which a CPU is faster document by document than with a mask."""
EMBEDDED_STD = 0.5
"""Of a token's vector: far from what blocks add to it at first, which is nothing."""


class Norm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x_BTD: Tensor) -> Tensor:
        return functional.rms_norm(x_BTD, self.weight.shape, self.weight, self.epsilon)


@dataclass(slots=True)
class Cache:
    """Keys and values of tokens that were read, so that only new ones are computed; `room` tokens at most.

    Args:
        keys: per layer (B, G, room, K), of which the first `length` count. values: likewise.
        document_BT: the number of the document that each token lies in.
        is_marked: beginnings are marked, so that `end` begins nothing.
    """

    room: int
    length: int = 0
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    document_BT: Tensor | None = None
    is_marked: bool = False

    def take(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps what a layer says of new tokens, and gives what it said of all."""
        if layer == len(self.keys):
            batch, heads, _, width = k_BGTK.shape
            self.keys.append(k_BGTK.new_empty(batch, heads, self.room, width))
            self.values.append(k_BGTK.new_empty(batch, heads, self.room, width))
        end = self.length + k_BGTK.shape[2]
        self.keys[layer][:, :, self.length : end] = k_BGTK
        self.values[layer][:, :, self.length : end] = v_BGTK
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def documents(self, starts_BT: Tensor) -> Tensor:
        """int (B, S): the documents of all tokens, new ones after those that are kept."""
        new_BT = starts_BT.cumsum(1)
        if self.document_BT is not None:
            new_BT = torch.cat([self.document_BT, new_BT + self.document_BT[:, -1:]], 1)
        self.document_BT = new_BT
        return new_BT

    def shared(self, count: int, room: int) -> Cache:
        """For so many rows that all begin with the one row of this cache; this one stays as it is."""
        made = Cache(room=room, length=self.length)
        for mine, new in ((self.keys, made.keys), (self.values, made.values)):
            for held_1GTK in mine:
                _, heads, _, width = held_1GTK.shape
                new.append(held_1GTK.new_empty(count, heads, room, width))
                new[-1][:, :, : self.length] = held_1GTK[:, :, : self.length]
        return made

    def cut(self, length: int) -> None:
        """Forgets what was read after so many tokens."""
        self.length = length
        if self.document_BT is not None:
            self.document_BT = self.document_BT[:, :length]

    def keep_rows(self, rows: Tensor) -> None:
        """Goes on with some rows of the batch alone, or with some several times."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        if self.document_BT is not None:
            self.document_BT = self.document_BT[rows]


Seen = Tensor | list[int] | None
"""bool (B, T, S): the tokens of its document up to itself; or how long documents are, row after row; None:
simply all up to itself."""


class Attention(nn.Module):
    """Softmax of q k' / sqrt(K) over what may be seen; groups of query heads share keys and values."""

    def __init__(self, width: int, num_heads: int, num_kv_heads: int, qk_norm: bool, epsilon: float) -> None:
        super().__init__()
        self.head_width = width // num_heads
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
            x_BTD = x_BTD[torch.arange(len(x_BT), device=x_BT.device), last_B]
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


def turns(place_BT: Tensor, head_width: int, base: float) -> Tensor:
    """float32 (B, T, K): cosines, then sines, of the angles by which the two halves of a head turn."""
    device = place_BT.device
    rates_K = base ** (-torch.arange(0, head_width, 2, device=device, dtype=torch.float32) / head_width)
    angles_BTK = place_BT[..., None] * rates_K
    return torch.cat([angles_BTK.cos(), angles_BTK.sin()], -1)


def turned(x_BHTK: Tensor, turn_B1TK: Tensor) -> Tensor:
    """Each pair (x_k, x_k+K/2) as a point of a plane, turned by its angle."""
    cos_B1TK, sin_B1TK = turn_B1TK.to(x_BHTK.dtype).chunk(2, -1)
    left_BHTK, right_BHTK = x_BHTK.chunk(2, -1)
    return torch.cat(
        [left_BHTK * cos_B1TK - right_BHTK * sin_B1TK, right_BHTK * cos_B1TK + left_BHTK * sin_B1TK], -1
    )


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    depth: int = 4,
    width: int | None = None,
    num_heads: int | None = None,
    num_kv_heads: int | None = None,
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
    is_gated = mlp == "swiglu"
    if mlp not in ("relu2", "swiglu"):
        raise OptionError(f"`mlp` of gpt must be relu2 or swiglu, not `{mlp}`")
    if width % num_heads or width // num_heads % 2 or num_heads % num_kv_heads:
        raise OptionError(
            f"a width of {width} must be {num_heads} heads of an even width, in {num_kv_heads} equal groups"
        )
    if is_tied and num_outputs:
        raise OptionError("a head that tells kinds of texts cannot be tied to the tokens")
    hidden = hidden or (-(-8 * width // 24) * 8 if is_gated else 4 * width)
    blocks = [
        Block(Attention(width, num_heads, num_kv_heads, qk_norm, epsilon), Mlp(width, hidden, is_gated),
              width, epsilon)
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
    """Blocks that add nothing yet, a head that favours nothing, and all else of unit gain."""
    nn.init.normal_(net.tokens.weight, std=EMBEDDED_STD)
    if net.virtual is not None:
        nn.init.normal_(net.virtual.weight, std=EMBEDDED_STD)
    for name, parameter in net.named_parameters():
        if name.endswith(("attention.out.weight", "mlp.down.weight")) or name.startswith("head."):
            parameter.zero_()
        elif parameter.ndim == 2 and not name.startswith(("tokens.", "virtual.")):
            parameter.normal_(std=1.0 / math.sqrt(parameter.shape[1]))
