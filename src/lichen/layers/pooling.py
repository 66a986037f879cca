"""pooling: one vector of a text out of those of its tokens.

Paper: Reimers and Gurevych 2019, section 3.
Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lichen.core.errors import OptionError, nearest

KINDS = ("mean", "cls", "last", "max")


def pooled(x_BTD: Tensor, is_told_BT: Tensor, kind: str) -> Tensor:
    """(B, D): the mean over the tokens that are told, the first, the last, or the largest of each number.

    Args:
        is_told_BT: what is no filling; it stands after the text. A text without tokens gives zeros as its
            mean and its largest.
    """
    if kind == "cls":
        return x_BTD[:, 0]
    if kind == "last":
        last_B11 = (is_told_BT.sum(1) - 1).clamp(min=0)[:, None, None]
        return x_BTD.gather(1, last_B11.expand(-1, 1, x_BTD.shape[-1]))[:, 0]
    is_told_BT1 = is_told_BT[..., None]
    if kind == "max":
        highest_BD = x_BTD.masked_fill(~is_told_BT1, torch.finfo(x_BTD.dtype).min).amax(1)
        return torch.where(is_told_BT1.any(1), highest_BD, 0.0)
    return (x_BTD * is_told_BT1).sum(1) / is_told_BT1.sum(1).clamp(min=1)


def require_known(kind: str) -> str:
    """The kind itself.

    Raises:
        OptionError: nothing pools so.
    """
    if kind not in KINDS:
        raise OptionError(
            f"`pooling` must be one of {', '.join(KINDS)}, not {kind}", hint=nearest(kind, KINDS)
        )
    return kind
