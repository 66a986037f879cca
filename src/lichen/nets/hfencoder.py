"""hfencoder: an encoder of texts of the transformers library by its type, as `hf/electra`, asked as a bert.

Without outputs it gives one vector of a text; with `num_outputs` a head tells the kind of a text from it.
What the library itself makes of the first token (its pooler) is left out.

Paper: Reimers and Gurevych 2019, section 3 (pooling).
Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import UsageError
from lichen.layers import library
from lichen.layers.pooling import pooled, require_known

TAKES = "tokens"
PAD = library.PAD
HEAD_WIDTH = 64
PLACES = 512
NEEDED = ("input_ids", "attention_mask")
ALIKE = 1e-4
"""Share of the largest number by which a vector may change where its text is filled up."""


class HfEncoder(nn.Module):
    """head(pooled(body(tokens)))."""

    def __init__(self, body: Any, *, num_outputs: int, blank: int | None, pooling: str) -> None:
        super().__init__()
        self.blank, self.pooling = blank, pooling
        self.body = body
        self.head: nn.Module = (
            nn.Linear(body.config.hidden_size, num_outputs) if num_outputs else nn.Identity()
        )

    def features(self, x_BT: Tensor) -> Tensor:
        return pooled(self.each(x_BT), x_BT != PAD, self.pooling)

    def each(self, x_BT: Tensor) -> Tensor:
        """(B, T, D): what every token stands for among the others."""
        is_seen_BT = x_BT != PAD
        is_seen_BT[:, 0] = True  # an empty text is one PAD
        number_BT = library.theirs(x_BT, self.blank, self.body.config.vocab_size)
        return self.body(input_ids=number_BT, attention_mask=is_seen_BT.long()).last_hidden_state

    def forward(self, x_BT: Tensor) -> Tensor:
        return self.head(self.features(x_BT))


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 0,
    variant: str = "electra",
    config: Mapping[str, Any] | None = None,
    depth: int = 2,
    blank: int | None = None,
    pooling: str = "mean",
) -> nn.Module:
    """A fresh net of a type that the library knows.

    Args:
        in_shape: (T, V), how many tokens a text has at most and how many different ones there are.
        num_outputs: 0: the vector of a text itself, (B, D).
        variant: the type: electra, mpnet, modernbert, ...
        config: what the library's configuration is told; None: so many layers of width 64 each.
        depth: the number of layers where nothing is configured.
        blank: the library's number that stands at 0 here.
        pooling: what a text's vector is, as `bert` has it.

    Raises:
        NotFoundError: the library knows no such type.
        UsageError: it is of a model that reads no texts, or whose answers depend on what fills them up.
        OptionError: an unknown pooling.
    """
    length, size = in_shape
    pad = blank or 0
    told = config if config is not None else {
        "hidden_size": HEAD_WIDTH * depth, "num_hidden_layers": depth, "num_attention_heads": depth,
        "num_key_value_heads": depth, "intermediate_size": 4 * HEAD_WIDTH * depth, "vocab_size": size,
        "pad_token_id": pad,
        "max_position_embeddings": max(PLACES, length + pad + 2),  # some begin behind the pad's number
    }  # fmt: skip
    made = library.made(variant, "encoder", told)
    return of(made, num_outputs=num_outputs, blank=blank, pooling=pooling)


def of(made: Any, *, num_outputs: int = 0, blank: int | None = None, pooling: str = "mean") -> HfEncoder:
    """An encoder of the library as a net.

    Raises:
        UsageError: no texts go into it, or it answers otherwise where they are filled up.
    """
    name = type(made).__name__
    lacking = [given for given in NEEDED if given not in library.taken(made)]
    if lacking or made.config.is_encoder_decoder:
        why = f"takes no {lacking[0]}" if lacking else "is an encoder-decoder"
        raise UsageError(f"an encoder of texts must take {' and '.join(NEEDED)} alone; {name} {why}")
    if getattr(made, "pooler", None) is not None:
        made.pooler = nn.Identity()
    net = HfEncoder(made, num_outputs=num_outputs, blank=blank, pooling=require_known(pooling)).eval()
    _require_alike(net, name)
    return net


@torch.no_grad()
def _require_alike(net: HfEncoder, name: str) -> None:
    """Asks about a text alone and filled up: what is beside a text must not change its answer."""
    x_BT = torch.tensor([[5, 4, 3, 0, 0, 0]]).clamp(max=net.body.config.vocab_size - 1)
    alone_BTD, filled_BTD = net.each(x_BT[:, :3]), net.each(x_BT)
    apart = (filled_BTD[:, :3] - alone_BTD).abs().max() if filled_BTD.shape[1] >= 3 else torch.inf
    if not apart <= ALIKE * alone_BTD.abs().max():
        raise UsageError(f"an encoder must not hear what fills texts up; {name} does")
