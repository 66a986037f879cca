"""mix: rows of a batch laid over one another, with targets that say in which shares.

Each row meets the one as far from the end of its batch as it is from the start. Where a policy names both
ways, each row draws one of them. Whom a row meets depends on its batch; its share and window are its own.

Papers: Zhang et al. 2018 (mixup); Yun et al. 2019 (CutMix).
Shapes: B rows, C channels, H height, W width, K classes, D draws of the whole policy.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from lichen.data import augment, warp, wide

WAYS = ("mixup", "cutmix")


def needs(policy: augment.Policy | None) -> bool:
    """Whether a policy mixes rows."""
    return bool(augment.strengths(policy).keys() & set(WAYS))


def apply(
    policy: augment.Policy | None,
    images_BCHW: Tensor,
    targets_B: Tensor,
    uniforms_BD: Tensor,
    num_classes: int,
) -> tuple[Tensor, Tensor]:
    """Mixed pictures, and float32 (B, K) targets whose rows sum to 1.

    Args:
        uniforms_BD: the draws that `augment.apply` takes.
    """
    found, drawn = augment.strengths(policy), augment.columns(policy, uniforms_BD)
    shares_B = torch.ones(len(targets_B), device=targets_B.device)
    others_BCHW = images_BCHW.flip(0)
    is_window_B = _is_window(found, drawn, shares_B)
    mixed_BCHW = images_BCHW
    if "cutmix" in found:
        kept_B = torch.where(is_window_B, _beta(drawn["cutmix"][0], found["cutmix"]), shares_B)
        sides = images_BCHW.shape[2:]
        lengths = [((1.0 - kept_B).sqrt() * side).round().long() for side in sides]
        is_other_BHW = warp.windows(sides, lengths, drawn["cutmix"][1:3])
        mixed_BCHW = torch.where(is_other_BHW[:, None], others_BCHW, mixed_BCHW)
        shares_B = 1.0 - is_other_BHW.float().mean((1, 2))
    if "mixup" in found:
        kept_B = torch.where(is_window_B, torch.ones_like(shares_B), _beta(drawn["mixup"][0], found["mixup"]))
        weight_B111 = kept_B[:, None, None, None]
        mixed_BCHW = weight_B111 * mixed_BCHW + (1.0 - weight_B111) * others_BCHW
        shares_B = shares_B * kept_B
    is_class = targets_B.ndim == 1  # else 0 and 1 for each label, (B, K)
    own_BK = functional.one_hot(targets_B, num_classes).float() if is_class else targets_B.float()
    return mixed_BCHW, shares_B[:, None] * own_BK + (1.0 - shares_B[:, None]) * own_BK.flip(0)


def shown(policy: augment.Policy | None, images_BCHW: Tensor, uniforms_BD: Tensor) -> Tensor:
    """uint8: what a policy makes of a batch, for people to look at."""
    images_BCHW = augment.apply(policy, images_BCHW, uniforms_BD)
    if needs(policy):
        nobody_B = torch.zeros(len(images_BCHW), dtype=torch.int64, device=images_BCHW.device)
        images_BCHW, _ = apply(policy, images_BCHW, nobody_B, uniforms_BD, 1)
    return wide.levels(images_BCHW)


def _is_window(found: Mapping[str, float], drawn: Mapping[str, list[Tensor]], like_B: Tensor) -> Tensor:
    """bool (B,): rows that get a window of another; half of them where both ways are named."""
    if "cutmix" not in found:
        return torch.zeros_like(like_B).bool()
    return torch.ones_like(like_B).bool() if "mixup" not in found else drawn["cutmix"][3] < 0.5


def _beta(uniform_B: Tensor, strength: float) -> Tensor:
    """float32: draws of Beta(strength, strength), by its inverse distribution."""
    from scipy.special import betaincinv

    drawn = betaincinv(strength, strength, uniform_B.cpu().double().numpy())
    return torch.from_numpy(drawn).float().to(uniform_B.device)
