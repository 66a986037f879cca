"""seq2seq: a text becomes another: an encoder reads it whole, a decoder tells the other, looking back at it.

A row is a pair: the source in the first half, the target in the second, whose last token may be left out.
Norms stand before each layer; queries and keys turn with their places, also where the decoder looks at the
source, so that it can look for what stands about as far; both sides share one table of tokens.

Papers: Vaswani et al. 2017; Press and Wolf 2017 (tied tables); for the parts see `layers`.
Departs from it: norms before layers and of queries and keys, places by turning, no biases.
Shapes: B texts, J hypotheses of each text, R rows of the decoder (R = B * J), S source tokens, T target
tokens, V different ones, D width, H heads, K width of a head, L numbers of a pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import OptionError
from lichen.layers.attention import Attention
from lichen.layers.block import Mlp, Norm, hidden_width, start
from lichen.layers.cache import Cache
from lichen.layers.rotary import turned, turns

TAKES = "pairs"
PAD = 0


@dataclass(slots=True)
class Memory:
    """What the decoder's layers look at of every source: keys and values, computed once.

    Args:
        keys: per layer (B, H, S, K). values: likewise.
        seen_B11S: what is no filling.
    """

    keys: list[Tensor]
    values: list[Tensor]
    seen_B11S: Tensor

    @property
    def num_texts(self) -> int:
        return len(self.seen_B11S)

    def keep_texts(self, texts: Tensor) -> None:
        """Goes on with some texts alone."""
        self.keys = [keys[texts] for keys in self.keys]
        self.values = [values[texts] for values in self.values]
        self.seen_B11S = self.seen_B11S[texts]


class Lookback(nn.Module):
    """Softmax of q k' / sqrt(K) over the source; all hypotheses of a text share its keys and values."""

    def __init__(self, width: int, num_heads: int, qk_norm: bool, epsilon: float) -> None:
        super().__init__()
        self.head_width = width // num_heads
        self.qk_norm = qk_norm
        self.epsilon = epsilon
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def read(self, source_BSD: Tensor, turn_11SK: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of every source."""
        keys_BHSK = turned(self._normed(self._heads(self.key(source_BSD))), turn_11SK)
        return keys_BHSK, self._heads(self.value(source_BSD))

    def forward(self, x_RTD: Tensor, turn_11TK: Tensor, memory: Memory, layer: int) -> Tensor:
        keys_BHSK, values_BHSK = memory.keys[layer], memory.values[layer]
        q_RHTK = turned(self._normed(self._heads(self.query(x_RTD))), turn_11TK)
        num_texts, length = len(keys_BHSK), x_RTD.shape[1]
        q_BHXK = q_RHTK.unflatten(0, (num_texts, -1)).transpose(1, 2).flatten(2, 3)  # X = J * T
        mixed_BHXK = functional.scaled_dot_product_attention(
            q_BHXK, keys_BHSK, values_BHSK, attn_mask=memory.seen_B11S
        )
        return self.out(mixed_BHXK.transpose(1, 2).flatten(2).reshape(len(x_RTD), length, -1))

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (-1, self.head_width)).transpose(1, 2)

    def _normed(self, x_BHTK: Tensor) -> Tensor:
        return functional.rms_norm(x_BHTK, x_BHTK.shape[-1:], eps=self.epsilon) if self.qk_norm else x_BHTK


class Layer(nn.Module):
    """Attention to its own side, a decoder's also to the source, then an mlp; each adds to what it reads."""

    def __init__(
        self,
        attention: Attention,
        lookback: Lookback | None,
        mlp: Mlp,
        width: int,
        epsilon: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.before_attention, self.attention = Norm(width, epsilon), attention
        self.before_lookback = Norm(width, epsilon) if lookback else None
        self.lookback = lookback
        self.before_mlp, self.mlp = Norm(width, epsilon), mlp
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x_RTD: Tensor, turn_11TK: Tensor, layer: int, *, seen_BTS: Tensor | None = None,
        memory: Memory | None = None, cache: Cache | None = None,
    ) -> Tensor:  # fmt: skip
        told_RTD = self.attention(self.before_attention(x_RTD), turn_11TK, seen_BTS, cache, layer)
        x_RTD = x_RTD + self.dropout(told_RTD)
        if self.lookback is not None and self.before_lookback is not None and memory is not None:
            x_RTD = x_RTD + self.dropout(self.lookback(self.before_lookback(x_RTD), turn_11TK, memory, layer))
        return x_RTD + self.dropout(self.mlp(self.before_mlp(x_RTD)))


class Seq2seq(nn.Module):
    """head(norm(decoder(target, encoder(source)))).

    Args:
        base: of the angles; see `rotary`.
    """

    def __init__(
        self, encoder: list[Layer], decoder: list[Layer], num_tokens: int, width: int, *, base: float,
        epsilon: float, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.base = base
        self.tokens = nn.Embedding(num_tokens, width)
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.after_encoder, self.norm = Norm(width, epsilon), Norm(width, epsilon)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_tokens, bias=False)

    def read(self, source_BS: Tensor) -> Memory:
        """What the decoder looks at of some sources."""
        seen_BS = source_BS != PAD
        length = max(1, int(seen_BS.any(0).sum()))  # texts begin at the left and have no gaps
        seen_B1S, turn_11SK = seen_BS[:, None, :length], self._turns(0, length)
        x_BSD = self._vectors(source_BS[:, :length])
        for number, layer in enumerate(self.encoder):
            x_BSD = layer(x_BSD, turn_11SK, number, seen_BTS=seen_B1S)
        x_BSD = self.after_encoder(x_BSD)
        pairs = [layer.lookback.read(x_BSD, turn_11SK) for layer in self.decoder]  # type: ignore[operator, union-attr]
        return Memory([keys for keys, _ in pairs], [values for _, values in pairs], seen_B1S[:, None])

    def tell(self, target_RT: Tensor, memory: Memory, cache: Cache | None = None) -> Tensor:
        """(R, T, D): features of what each token tells, of rows that are J hypotheses of every text in turn.

        Args:
            cache: of the tokens before these; takes them up.
        """
        start, length = cache.length if cache else 0, target_RT.shape[1]
        turn_11TK, x_RTD, seen_1TS = self._turns(start, length), self._vectors(target_RT), None
        if start and length > 1:
            seen_1TS = torch.ones(1, length, start + length, dtype=torch.bool, device=x_RTD.device).tril(
                start
            )
        for number, layer in enumerate(self.decoder):
            x_RTD = layer(x_RTD, turn_11TK, number, seen_BTS=seen_1TS, memory=memory, cache=cache)
        if cache:
            cache.length += length
        return self.norm(x_RTD)

    def features(self, x_BL: Tensor) -> Tensor:
        """(B, T, D) of pairs; T is cut to the longest target."""
        source_BS, target_BT = x_BL.chunk(2, 1)
        length = max(1, int((target_BT != PAD).any(0).sum()))
        return self.tell(target_BT[:, :length], self.read(source_BS))

    def forward(self, x_BL: Tensor) -> Tensor:
        """(B, T, V): for each token of the target what the next one may be, in logits."""
        return self.head(self.features(x_BL))

    def cache(self, room: int) -> Cache:
        """An empty cache for so many tokens of a target."""
        return Cache(room=room)

    def _vectors(self, tokens_BT: Tensor) -> Tensor:
        vectors_BTD = self.tokens(tokens_BT)
        return self.dropout(functional.rms_norm(vectors_BTD, vectors_BTD.shape[-1:]))

    def _turns(self, start: int, length: int) -> Tensor:
        """float32 (1, 1, T, K): by how much heads turn at so many places."""
        place_1T = torch.arange(start, start + length, device=self.tokens.weight.device)[None]
        head_width = self.decoder[0].attention.head_width  # type: ignore[union-attr]
        return turns(place_1T, head_width, self.base)[:, None]  # type: ignore[arg-type]


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    depth: int = 3,
    decoder_depth: int | None = None,
    width: int = 192,
    num_heads: int | None = None,
    hidden: int | None = None,
    mlp: str = "relu2",
    qk_norm: bool = True,
    is_tied: bool = True,
    dropout: float = 0.1,
    base: float = 10_000.0,
    epsilon: float = 1e-6,
) -> nn.Module:
    """A fresh net.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        num_outputs: 0; it tells tokens and no kinds.
        depth: layers of the encoder. decoder_depth: of the decoder; None: as many.
        num_heads: None: so that a head is 32 wide.
        hidden: width inside `mlp`; None: four times the width of relu2, of swiglu as many parameters.
        mlp: relu2 or swiglu.
        qk_norm: queries and keys are normed before they meet.
        is_tied: the head's matrix is that of the tokens.
        dropout: of the tokens' vectors and of what each layer adds.
        base: of the angles by which queries and keys turn.

    Raises:
        OptionError: sizes that do not divide each other, an unknown `mlp`, or kinds to be told.
    """
    num_heads = num_heads or max(1, width // 32)
    if num_outputs:
        raise OptionError(
            "seq2seq tells the tokens of a text; it tells no kinds", hint="net='gpt' tells both"
        )
    hidden = hidden_width("seq2seq", mlp, width, hidden)
    if width % num_heads or width // num_heads % 2:
        raise OptionError(f"a width of {width} must be {num_heads} heads of an even width")
    if not 0 <= dropout < 1:
        raise OptionError(f"`dropout` of seq2seq must be from 0 up to below 1, not {dropout}")

    def layer(*, looks_back: bool) -> Layer:
        attention = Attention(width, num_heads, num_heads, qk_norm, epsilon)
        lookback = Lookback(width, num_heads, qk_norm, epsilon) if looks_back else None
        return Layer(attention, lookback, Mlp(width, hidden, mlp == "swiglu"), width, epsilon, dropout)

    encoder = [layer(looks_back=False) for _ in range(depth)]
    decoder = [layer(looks_back=True) for _ in range(decoder_depth or depth)]
    net = Seq2seq(encoder, decoder, in_shape[1], width, base=base, epsilon=epsilon, dropout=dropout)
    for part in (net.tokens, net.encoder, net.decoder):
        start(part)
    nn.init.zeros_(net.head.weight)  # favours nothing
    if is_tied:
        net.head.weight = net.tokens.weight
    return net
