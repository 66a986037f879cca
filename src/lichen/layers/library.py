"""library: models of the transformers library: what kind one of a type is, how it is made, how it counts.

A library's tokenizer may say something by number 0, which fills rows up here; then 0 and another number,
`blank`, change places, in and out.

Shapes: B batch, T tokens, V different tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import NotFoundError, UsageError, missing_package, nearest

PAD = 0
KINDS = {"decoder": "AutoModelForCausalLM", "encoder": "AutoModel", "pairs": "AutoModelForSeq2SeqLM"}
"""What a model is: it tells the next token, reads a text, or tells a text from another; by what makes one."""


def package() -> Any:
    """The library, transformers.

    Raises:
        MachineError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise missing_package("transformers", "text") from None
    return transformers


def kind_of(variant: str) -> str | None:
    """What a model of a type is where nobody says; None: nothing of texts.

    Raises:
        NotFoundError: the library knows no such type.
    """
    known = _known(variant)
    auto = package().models.auto.modeling_auto
    if variant in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES and known[variant]().is_encoder_decoder:
        return "pairs"
    if variant in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return "encoder"
    if variant in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "decoder"
    return "encoder" if variant in auto.MODEL_MAPPING_NAMES else None


def made(variant: str, kind: str, told: Mapping[str, Any]) -> Any:
    """A fresh model of a type.

    Args:
        told: what the library's configuration is told.

    Raises:
        NotFoundError: the library knows no such type.
        UsageError: it has no such model of this type.
    """
    own = {name: given for name, given in told.items() if name != "model_type"}
    config = _known(variant)[variant](**own)
    try:
        return getattr(package(), KINDS[kind]).from_config(config, trust_remote_code=False)
    except ValueError as error:
        said = str(error).partition("\n")[0][:200]
        raise UsageError(f"`{variant}` is no {NAMES[kind]} of transformers: {said}") from None


NAMES = {"decoder": "causal language model", "encoder": "encoder", "pairs": "encoder-decoder"}
"""The field's words for the kinds."""


def _known(variant: str) -> Any:
    known = package().models.auto.configuration_auto.CONFIG_MAPPING
    if variant not in known:
        raise NotFoundError(f"transformers has no type of model `{variant}`", hint=nearest(variant, known))
    return known


def taken(part: nn.Module) -> set[str]:
    """What a part of a model may be told."""
    return set(inspect.signature(part.forward).parameters)


def theirs(x_BT: Tensor, blank: int | None, size: int) -> Tensor:
    """The library's numbers of tokens.

    Args:
        size: how many it knows; where `blank` is the next one, it is only here.
    """
    x_BT = x_BT.long()
    if blank is None:
        return x_BT
    blank_BT = torch.full_like(x_BT, 0 if blank == size else blank)
    return torch.where(x_BT == PAD, blank_BT, torch.where(x_BT == blank, 0, x_BT))


def ours(logits_BTV: Tensor, blank: int | None, size: int) -> Tensor:
    """Logits by our numbers of tokens; one that was added is never told."""
    if blank is None:
        return logits_BTV
    if blank == size:
        never_BT1 = torch.full_like(logits_BTV[..., :1], torch.finfo(logits_BTV.dtype).min)
        return torch.cat([never_BT1, logits_BTV[..., 1:], logits_BTV[..., :1]], -1)
    order_V = torch.arange(size, device=logits_BTV.device)
    order_V[PAD], order_V[blank] = blank, PAD
    return logits_BTV[..., order_V]
