"""hfpairs: an encoder-decoder of the transformers library by its type, as `hf/t5`, asked as `seq2seq` is.

A row is a pair, as `seq2seq` has it: the source in the first half, the target in the second. Where a target
begins with `end` here, the library's model begins with numbers of its own (`first`), and some models read
other numbers before a source (`opening`).

Shapes: B texts, J hypotheses of each, R rows of the decoder (R = B * J), S source tokens, T target tokens,
V different ones, D width, L numbers of a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import UsageError
from lichen.layers import library

TAKES = "pairs"
PAD = library.PAD
HEAD_WIDTH = 64
PLACES = 512
ALIKE = 1e-4
"""Share of the largest logit by which the parts of a model may differ from the whole."""


@dataclass(slots=True)
class Memory:
    """What the decoder looks at of every source.

    Args:
        states_BSD: of the encoder. seen_BS: what is no filling.
    """

    states_BSD: Tensor
    seen_BS: Tensor

    @property
    def num_texts(self) -> int:
        return len(self.seen_BS)

    def keep_texts(self, texts: Tensor) -> None:
        """Goes on with some texts alone."""
        self.states_BSD, self.seen_BS = self.states_BSD[texts], self.seen_BS[texts]


@dataclass(slots=True)
class Cache:
    """What a decoder keeps of tokens that were told, and of the sources that it looked at."""

    past: Any
    length: int = 0
    num_rows: int = 0

    def keep_rows(self, rows: Tensor) -> None:
        """Goes on with some rows of the batch alone, or with some several times."""
        self.past.reorder_cache(rows)
        self.num_rows = len(rows)


class Head(nn.Module):
    """The library's logits of features, by our numbers of tokens."""

    def __init__(self, out: nn.Linear, bias_1V: Tensor | None, blank: int | None) -> None:
        super().__init__()
        self.out, self.blank = out, blank
        self.bias_1V: Tensor | None
        self.register_buffer("bias_1V", bias_1V)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.out(x)
        logits = logits if self.bias_1V is None else logits + self.bias_1V
        return library.ours(logits, self.blank, self.out.out_features)


class HfPairs(nn.Module):
    """head(decoder(target, encoder(source))).

    Args:
        made: a model of the library that tells a text from another.
        first: the library's numbers before a target. opening: those before a source.
        end: our number behind a text.
    """

    tells_by_head = False

    def __init__(
        self, made: Any, *, blank: int | None, first: Sequence[int], opening: Sequence[int], end: int
    ) -> None:
        super().__init__()
        self.config, self.blank, self.end = made.config, blank, end
        self.first, self.opening = tuple(first), tuple(opening)
        self.encoder, self.decoder = made.get_encoder(), made.get_decoder()
        self.head = Head(made.get_output_embeddings(), getattr(made, "final_logits_bias", None), blank)
        is_scaled = getattr(made.config, "scale_decoder_outputs", False)
        self.scale = made.config.hidden_size**-0.5 if is_scaled else 1.0

    def read(self, source_BS: Tensor) -> Memory:
        """What the decoder looks at of some sources; one that was cut ends there, as the library has it."""
        seen_BS = source_BS != PAD
        is_last_BS = seen_BS & (seen_BS.cumsum(1) == seen_BS.sum(1, keepdim=True))
        source_BS = source_BS.masked_fill(is_last_BS, self.end)  # all others have their end there
        length = max(1, int(seen_BS.any(0).sum()))  # texts begin at the left and have no gaps
        seen_BS = seen_BS[:, :length].clone()
        seen_BS[:, 0] = True  # an empty text is one PAD
        number_BS = self._begun(self._theirs(source_BS[:, :length]), self.opening)
        more_BS = seen_BS.new_ones(len(seen_BS), len(self.opening))
        seen_BS = torch.cat([more_BS, seen_BS], 1)
        said = self.encoder(input_ids=number_BS, attention_mask=seen_BS.long())
        return Memory(said.last_hidden_state, seen_BS)

    def tell(self, target_RT: Tensor, memory: Memory, cache: Cache | None = None) -> Tensor:
        """(R, T, D): features of what each token tells, of rows that are J hypotheses of every text in turn.

        Args:
            cache: of the tokens before these; takes them up.
        """
        number_RT, before = self._theirs(target_RT), 0
        if cache is None or not cache.length:
            number_RT, before = self._begun(number_RT[:, 1:], self.first), len(self.first) - 1
        count = len(target_RT) // memory.num_texts
        said_RTD = self.decoder(
            input_ids=number_RT, encoder_hidden_states=memory.states_BSD.repeat_interleave(count, 0),
            encoder_attention_mask=memory.seen_BS.long().repeat_interleave(count, 0),
            past_key_values=cache.past if cache else None, use_cache=cache is not None,
        ).last_hidden_state  # fmt: skip
        if cache:
            cache.length, cache.num_rows = cache.length + number_RT.shape[1], len(number_RT)
        return self.scale * said_RTD[:, before:]

    def features(self, x_BL: Tensor) -> Tensor:
        """(B, T, D) of pairs; T is cut to the longest target."""
        source_BS, target_BT = x_BL.chunk(2, 1)
        length = max(1, int((target_BT != PAD).any(0).sum()))
        return self.tell(target_BT[:, :length], self.read(source_BS))

    def forward(self, x_BL: Tensor) -> Tensor:
        """(B, T, V): for each token of the target what the next one may be, in logits."""
        return self.head(self.features(x_BL))

    def cache(self, room: int) -> Cache:
        """An empty cache; it grows as it needs to."""
        kept = [library.package().DynamicCache(config=self.decoder.config) for _ in range(2)]
        return Cache(library.package().EncoderDecoderCache(*kept))

    def _theirs(self, x_BT: Tensor) -> Tensor:
        return library.theirs(x_BT, self.blank, self.head.out.out_features)

    def _begun(self, number_BT: Tensor, before: Sequence[int]) -> Tensor:
        before_BF = number_BT.new_tensor(before).expand(len(number_BT), -1)
        return torch.cat([before_BF, number_BT], 1)


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    variant: str = "t5",
    config: Mapping[str, Any] | None = None,
    depth: int = 2,
    end: int = 1,
    blank: int | None = None,
    first: Sequence[int] | None = None,
    opening: Sequence[int] = (),
) -> nn.Module:
    """A fresh net of a type that the library knows.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        num_outputs: 0; it tells tokens and no kinds.
        variant: the type: t5, marian, bart, ...
        config: what the library's configuration is told; None: so many layers of width 64 each.
        depth: the number of layers where nothing is configured.
        end: the number that begins a target here, and ends one and a source.
        blank: the library's number that stands at 0 here.
        first: the library's numbers before a target; None: `end`.
        opening: the library's numbers before a source.

    Raises:
        NotFoundError: the library knows no such type.
        UsageError: it is of a model that tells no text from another, or kinds are to be told.
    """
    if num_outputs:
        raise UsageError("an encoder-decoder tells the tokens of a text and no kinds", hint="an encoder does")
    length, size = in_shape
    width, hidden = HEAD_WIDTH * depth, 4 * HEAD_WIDTH * depth
    told = config if config is not None else {
        "d_model": width, "d_kv": HEAD_WIDTH, "d_ff": hidden, "num_layers": depth, "num_heads": depth,
        "encoder_layers": depth, "decoder_layers": depth, "encoder_attention_heads": depth,
        "decoder_attention_heads": depth, "encoder_ffn_dim": hidden, "decoder_ffn_dim": hidden,
        "vocab_size": size, "max_position_embeddings": max(PLACES, length + 4), "pad_token_id": PAD,
        "eos_token_id": end, "decoder_start_token_id": end,
    }  # fmt: skip
    made = library.made(variant, "pairs", told)
    return of(made, blank=blank, first=[end] if first is None else first, opening=opening, end=end)


@torch.no_grad()
def of(
    made: Any, *, blank: int | None, first: Sequence[int], opening: Sequence[int] = (), end: int = 1
) -> HfPairs:
    """A model of the library as a net.

    Raises:
        UsageError: it does more than its encoder, its decoder and its head do.
    """
    net = HfPairs(made, blank=blank, first=first, opening=opening, end=end).eval()
    name = type(made).__name__
    if {id(held) for held in made.parameters()} - {id(held) for held in net.parameters()}:
        raise UsageError(f"{name} has weights beside its encoder, its decoder and its head")
    source_BS, target_BT = torch.tensor([[5, 4, 3]]), torch.tensor([[*first, 3, 5]])
    whole = made.eval()(
        input_ids=torch.tensor([[*opening, 5, 4, 3]]), decoder_input_ids=target_BT, use_cache=False
    )
    plain = HfPairs(made, blank=None, first=first, opening=opening, end=3).eval()
    ours_BTV = plain.head(plain.tell(target_BT[:, len(first) - 1 :], plain.read(source_BS)))
    theirs_BTV = whole.logits[:, len(first) - 1 :]
    if not (ours_BTV - theirs_BTV).abs().max() <= ALIKE * theirs_BTV.abs().max():
        raise UsageError(f"{name} does more than its encoder, its decoder and its head do")
    return net
