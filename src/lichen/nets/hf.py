"""hf: any model of texts of the transformers library by its type, as `hf/gpt2`, asked as ours are.

Encoders (`hf/electra`) are as `hfencoder` has them, encoder-decoders (`hf/t5`) as `hfpairs`. Of a causal
language model a document begins at `end`, before which nothing is seen, and number 0 stands for no text.

Shapes: B batch, T tokens, S tokens seen, R columns, V different tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import OptionError, UsageError
from lichen.layers import library
from lichen.nets import hfencoder, hfpairs

TAKES = "tokens"
PAD = 0
HEAD_WIDTH = 64
LARGE = 1000.0
NEEDED = ("attention_mask", "position_ids", "past_key_values")
"""What a model must take, so that documents can lie side by side and keys and values be kept."""


@dataclass(slots=True)
class Cache:
    """What a model of the library keeps of tokens that were read; see `gpt.Cache`."""

    past: Any
    document_BT: Tensor | None = None
    place_BT: Tensor | None = None
    is_marked: bool = False
    length: int = field(default=0)

    def shared(self, count: int, room: int) -> Cache:
        """For so many rows that all begin with the one row of this cache; this one stays as it is."""
        past = copy.deepcopy(self.past)
        past.batch_repeat_interleave(count)
        return Cache(past, is_marked=self.is_marked, length=self.length)

    def cut(self, length: int) -> None:
        """Forgets what was read after so many tokens."""
        if length < self.length:
            self.past.crop(length - self.length)  # below zero: so many from the end
        self.length = length
        if self.document_BT is not None and self.place_BT is not None:
            self.document_BT, self.place_BT = self.document_BT[:, :length], self.place_BT[:, :length]

    def keep_rows(self, rows: Tensor) -> None:
        """Goes on with some rows of the batch alone, or with some several times."""
        self.past.batch_select_indices(rows)
        if self.document_BT is not None and self.place_BT is not None:
            self.document_BT, self.place_BT = self.document_BT[rows], self.place_BT[rows]


class Hf(nn.Module):
    """A model of the library, as a net of ours.

    Args:
        made: a model for causal language modelling.
        end: the token that a document begins with.
        blank: the library's number that is 0 here; its own number of tokens: none, so one is added; None: 0.
    """

    body: Any
    head: Any

    def __init__(self, made: Any, *, num_outputs: int, end: int, blank: int | None) -> None:
        super().__init__()
        self.end, self.blank = end, blank
        self.body = getattr(made, made.base_model_prefix)
        self.head = made.get_output_embeddings()
        self.whole: tuple[Any, ...] = (made,)
        """What tells tokens: the library may do more between body and head. Its parts are those above."""
        self._by_head: bool | None = None
        if num_outputs:
            self.whole, self.head = (), nn.Linear(self.body.config.hidden_size, num_outputs)

    @property
    def tells_by_head(self) -> bool:
        """Whether logits are the head's own: numbers as they are, nothing scaled or bent after it."""
        if self._by_head is None:
            self._by_head = self.blank is None and (not self.whole or self._is_bare())
        return self._by_head

    @torch.no_grad()
    def _is_bare(self) -> bool:
        """Asks the library about features so large that whatever bends them shows."""
        found = []

        def enlarge(_part: nn.Module, _given: Any, said: Any) -> Any:
            said.last_hidden_state = LARGE * said.last_hidden_state
            found.append(said.last_hidden_state)
            return said

        hook = self.body.register_forward_hook(enlarge)
        try:
            number_BT = torch.full((1, 2), self.end, device=next(self.parameters()).device)
            logits_BTV = self.whole[0](input_ids=number_BT, use_cache=False).logits
        finally:
            hook.remove()
        return torch.allclose(logits_BTV.float(), self.head(found[0]).float(), rtol=1e-2, atol=1e-3)

    def cache(self, room: int) -> Cache:
        """An empty cache; it grows as it needs to."""
        return Cache(library.package().DynamicCache(config=self.body.config))

    def features(self, x_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, T, D) at each token, or (B, D) at the last one of whole texts."""
        if self.whole:
            return self._asked(self.body, x_BT, cache).last_hidden_state
        last_B = ((x_BT != PAD) * torch.arange(x_BT.shape[1], device=x_BT.device)).amax(1)
        if not torch.compiler.is_exporting():  # a table of places may end where texts do
            x_BT = x_BT[:, : int(last_B.max()) + 1]
        found_BTD = self._asked(self.body, x_BT, cache).last_hidden_state
        return found_BTD[torch.arange(len(x_BT), device=x_BT.device), last_B]

    def forward(self, x_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, T, V): for each token what the next one may be, in logits; (B, K) of whole texts."""
        if not self.whole:
            return self.head(self.features(x_BT, cache))
        return self._ours(self._asked(self.whole[0], x_BT, cache).logits)

    def logits_at(
        self, column_R: Tensor, x_BT: Tensor, cache: Cache, place_BT: Tensor, seen_BTS: Tensor
    ) -> Tensor:
        """(B, R, V): what comes after the tokens of some columns, which stand and see as they are told.

        Args:
            place_BT: how far from its beginning each token stands. seen_BTS: which of all tokens, those of
                the cache first, each one sees.
        """
        only = {"logits_to_keep": column_R} if "logits_to_keep" in library.taken(self.whole[0]) else {}
        found = self._told(self.whole[0], x_BT, cache, place_BT, seen_BTS, **only).logits
        return self._ours(found if only else found[:, column_R])

    def _asked(self, part: nn.Module, x_BT: Tensor, cache: Cache | None) -> Any:
        """What a part says of documents side by side."""
        x_BT, starts_BT = self._begun(x_BT, cache)
        length = x_BT.shape[1]
        is_plain = cache is None and not torch.compiler.is_exporting() and not bool(starts_BT[:, 1:].any())
        if is_plain:
            return part(input_ids=self._theirs(x_BT), use_cache=False)
        begun = cache.document_BT[:, -1:] if cache and cache.document_BT is not None else 0
        document_BT = starts_BT.cumsum(1) + begun
        first_BT = starts_BT.long() * torch.arange(length, device=x_BT.device)
        place_BT = torch.arange(length, device=x_BT.device) - first_BT.cummax(1).values
        if cache and cache.place_BT is not None:  # goes on where its document stands
            goes_on_BT = starts_BT.cumsum(1) == 0
            place_BT = place_BT + goes_on_BT * (cache.place_BT[:, -1:] + 1)
        place_BT = place_BT.masked_fill(x_BT == PAD, 0)  # a table of places may end where documents do
        if cache and cache.document_BT is not None:
            whole_BS = torch.cat([cache.document_BT, document_BT], 1)
        else:
            whole_BS = document_BT
        if cache:
            cache.document_BT = whole_BS
            cache.place_BT = place_BT if cache.place_BT is None else torch.cat([cache.place_BT, place_BT], 1)
        is_same_BTS = document_BT[:, :, None] == whole_BS[:, None]
        return self._told(part, x_BT, cache, place_BT, is_same_BTS.tril(whole_BS.shape[1] - length))

    def _begun(self, x_BT: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """The numbers without marks, and bool (B, T) where documents begin; as `gpt` has it."""
        is_marked = cache is not None and cache.is_marked
        if not is_marked and (torch.compiler.is_exporting() or not bool((x_BT < 0).any())):
            return x_BT, x_BT == self.end
        if cache is not None:
            cache.is_marked = True
        return torch.where(x_BT < 0, ~x_BT, x_BT), x_BT < 0

    def _told(
        self, part: nn.Module, x_BT: Tensor, cache: Cache | None, place_BT: Tensor, seen_BTS: Tensor,
        **only: Tensor,
    ) -> Any:  # fmt: skip
        dtype = next(self.parameters()).dtype
        mask_B1TS = torch.zeros(seen_BTS.shape, dtype=dtype, device=x_BT.device)[:, None]
        mask_B1TS = mask_B1TS.masked_fill(~seen_BTS[:, None], torch.finfo(dtype).min)
        rows = len(x_BT)
        found = part(
            input_ids=self._theirs(x_BT), attention_mask=mask_B1TS.expand(rows, -1, -1, -1),
            position_ids=place_BT.expand(rows, -1), past_key_values=cache.past if cache else None,
            use_cache=cache is not None, **only,
        )  # fmt: skip
        if cache:
            cache.length += x_BT.shape[1]
        return found

    def _theirs(self, x_BT: Tensor) -> Tensor:
        return library.theirs(x_BT, self.blank, self._size)

    def _ours(self, logits_BTV: Tensor) -> Tensor:
        return library.ours(logits_BTV, self.blank, self._size)

    @property
    def _size(self) -> int:
        return self.body.config.vocab_size


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    variant: str = "gpt2",
    kind: str | None = None,
    config: Mapping[str, Any] | None = None,
    depth: int = 2,
    end: int = 1,
    blank: int | None = None,
    pooling: str = "mean",
    first: Sequence[int] | None = None,
    opening: Sequence[int] = (),
) -> nn.Module:
    """A fresh net of a type that the library knows.

    Args:
        in_shape: (T, V), how many tokens a row has and how many different ones there are.
        num_outputs: 0: the next token is told, or an encoder's vector; else this many kinds of texts.
        variant: the type: gpt2, qwen2, electra, ...
        kind: decoder, encoder or pairs (an encoder-decoder); None: what the library has of the type.
        config: what the library's configuration is told; None: so many layers of width 64 each.
        depth: the number of layers where nothing is configured.
        end: the number that begins a document, or a target.
        blank: the library's number that stands at 0 here.
        pooling: of an encoder's tokens, as `bert` has it.
        first, opening: of an encoder-decoder, as `hfpairs` has them.

    Raises:
        NotFoundError: the library knows no such type.
        UsageError: it is of a model that no texts go into, or tells tokens one by one alone.
    """
    chosen = kind or library.kind_of(variant) or "decoder"
    if chosen not in library.KINDS:
        raise OptionError(f"`kind` must be one of {', '.join(library.KINDS)}, not {chosen}")
    if chosen == "encoder":
        return hfencoder.build(in_shape=in_shape, num_outputs=num_outputs, variant=variant, config=config,
                               depth=depth, blank=blank, pooling=pooling)  # fmt: skip
    if chosen == "pairs":
        return hfpairs.build(in_shape=in_shape, num_outputs=num_outputs, variant=variant, config=config,
                             depth=depth, end=end, blank=blank, first=first, opening=opening)  # fmt: skip
    length, size = in_shape
    told = config if config is not None else {
        "hidden_size": HEAD_WIDTH * depth, "num_hidden_layers": depth, "num_attention_heads": depth,
        "num_key_value_heads": depth, "intermediate_size": 4 * HEAD_WIDTH * depth,
        "vocab_size": size - (blank == size - 1), "max_position_embeddings": length,
        "bos_token_id": end, "eos_token_id": end, "pad_token_id": None,
    }  # fmt: skip
    made = library.made(variant, chosen, told)
    return of(made, num_outputs=num_outputs, end=end, blank=blank)


def of(made: Any, *, num_outputs: int = 0, end: int, blank: int | None = None) -> Hf:
    """A model of the library as a net.

    Raises:
        UsageError: documents cannot lie side by side in it, or it has parts beside its body and its head.
    """
    lacking = [name for name in NEEDED if name not in library.taken(made)]
    if lacking:
        raise UsageError(
            f"a language model must take {', '.join(NEEDED)}; {type(made).__name__} takes no {lacking[0]}"
        )
    net = Hf(made, num_outputs=num_outputs, end=end, blank=blank).eval()
    beside = {id(held) for held in made.parameters()} - {id(held) for held in net.parameters()}
    if beside and not num_outputs:
        raise UsageError(f"{type(made).__name__} has weights beside its body and its head")
    return net
