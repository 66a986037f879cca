"""telling: the losses of tokens that are told, and no number for those that are not.

Only places that tell something meet the head, some thousands of numbers at a time, so that no tensor of all
tokens by all words is ever made; its logits are computed again on the way back. A batch goes through the net
some rows at a time: gradients are taken at once and added up, so that what the net keeps for them is never of
more than those rows.

Shapes: B rows of a batch, T tokens, V different ones, D width, Q places that tell something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.data.tokenizer import PAD

MOST_LOGITS = 1 << 22
"""Logits that are in memory at a time."""
MOST_TOKENS = 512
"""Tokens that go through a net at a time: enough to fill a core, few enough to stay in its caches."""


def require_tokens(outputs: Tensor, told_BT: Tensor) -> None:
    """Refuses what is no answer for every token that is to be told.

    Raises:
        UsageError: it is one for whole texts, or for other tokens.
    """
    if outputs.shape[:2] != told_BT.shape or outputs.ndim != 3:
        raise UsageError("a net must tell the token after each one; this net answers for whole texts",
                         hint="net='gpt'")  # fmt: skip


def is_large(module: nn.Module, rows: Tensor) -> bool:
    """Whether the logits of all tokens of a batch are too many to be made."""
    head = getattr(module, "head", None)
    return isinstance(head, nn.Linear) and rows.numel() * head.out_features > MOST_LOGITS


def told_of(rows: Tensor) -> Tensor:
    """int64 (B, T): what each place of rows as batches have them tells; PAD: nothing."""
    return (rows[:, 1] if rows.ndim == 3 else rows[:, 1:]).long()


def losses(module: nn.Module, x_BT: Tensor, told_BT: Tensor) -> Tensor:
    """float32 (Q,): the loss of each token that is told, row after row.

    Args:
        told_BT: int64; PAD where nothing is told.
    """
    head, heard_QD, num_outputs = heard(module, x_BT, told_BT)

    def told(heard_QD: Tensor, told_Q: Tensor) -> Tensor:
        return functional.cross_entropy(head(heard_QD).float(), told_Q, reduction="none")

    return in_pieces(told, num_outputs, heard_QD, told_BT[told_BT != PAD])


def heard(module: nn.Module, x_BT: Tensor, told_BT: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor, int]:
    """What makes logits of features, the features (Q, D) of places that tell something, and logits of each.

    A net that is wrapped, as for several processes, gives logits at once, and so does one that does more to
    its features than its head.
    """
    if not hasattr(module, "features") or not getattr(module, "tells_by_head", True):
        outputs_QV = module(x_BT)[told_BT != PAD]
        return nn.Identity(), outputs_QV, outputs_QV.shape[-1]
    features_BTD = cast("Callable[[Tensor], Tensor]", module.features)(x_BT)
    require_tokens(features_BTD, told_BT)
    head = cast("Any", module.head)
    return head, features_BTD[told_BT != PAD], head.out_features


def in_pieces(loss: Callable[..., Tensor], num_outputs: int, *places: Tensor) -> Tensor:
    """The losses of places (Q, ...), of which some meet the head at a time."""
    size = max(1, MOST_LOGITS // num_outputs)
    pieces = zip(*(part.split(size) for part in places), strict=True)
    if len(places[0]) <= size or not torch.is_grad_enabled():
        return torch.cat([loss(*piece) for piece in pieces])
    from torch.utils.checkpoint import checkpoint

    return torch.cat([
        checkpoint(loss, *piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces
    ])  # fmt: skip


def mean_loss(module: nn.Module, x_BT: Tensor, told_BT: Tensor) -> Tensor:
    """The mean loss of all tokens that are told, some rows at a time."""
    count = (told_BT != PAD).sum().clamp(min=1)
    size = max(1, MOST_TOKENS // x_BT.shape[1])
    pieces = list(zip(x_BT.split(size), told_BT.split(size)))
    return summed(module, [partial(_share, module, *piece, count) for piece in pieces])


def _share(module: nn.Module, x_BT: Tensor, told_BT: Tensor, count: Tensor) -> Tensor:
    return losses(module, x_BT, told_BT).sum() / count


def summed(module: nn.Module, parts: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The sum of some losses, of which each is left as soon as its gradients are known.

    Args:
        parts: what computes each; of a net with several processes or without gradients they are only added.
    """
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if len(parts) == 1 or not torch.is_grad_enabled() or not hasattr(module, "features"):
        return torch.stack([part() for part in parts]).sum()
    return _Summed.apply(parts, *learning)  # type: ignore[no-any-return]


class _Summed(torch.autograd.Function):
    """Gradients taken on the way forward, part by part, and handed out on the way back."""

    @staticmethod
    def forward(ctx: Any, parts: Sequence[Callable[[], Tensor]], *learning: Tensor) -> Tensor:
        total = torch.zeros((), device=learning[0].device)
        gradients: list[Tensor | None] = [None] * len(learning)
        for part in parts:
            with torch.enable_grad():
                loss = part()
            total = total + loss.detach()
            for place, one in enumerate(torch.autograd.grad(loss, learning, allow_unused=True)):
                held = gradients[place]
                if one is not None:
                    gradients[place] = one if held is None else held.add_(one)
        ctx.gradients = gradients
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        return None, *(None if one is None else one.mul_(grad) for one in ctx.gradients)
