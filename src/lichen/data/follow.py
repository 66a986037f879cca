"""follow: boxes and masks go where a policy moves their picture.

What a move brings in beyond an edge is a reflection of the picture, and belongs to no object.

Shapes: B rows, N objects of a row, H height, W width, D draws of the whole policy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lichen.core.errors import UsageError
from lichen.data import augment, warp

BLENDS = {"augmix", "mixup", "cutmix"}
"""Operations after which a pixel is of several pictures."""


def masks(policy: augment.Policy | None, masks_BNHW: Tensor, uniforms_BD: Tensor) -> Tensor:
    """bool (B, N, H, W): which pixels of the varied pictures are of each object.

    Args:
        masks_BNHW: bool.
        uniforms_BD: the draws that `augment.apply` takes.

    Raises:
        UsageError: the policy lays pictures over one another.
    """
    for place in _places(policy, masks_BNHW.shape[2:], uniforms_BD):
        masks_BNHW = warp.sampled(masks_BNHW.float(), place, beyond="zeros") > 0.5
    return masks_BNHW


def boxes(
    policy: augment.Policy | None, boxes_BN4: Tensor, sides: Sequence[int], uniforms_BD: Tensor
) -> Tensor:
    """float32 (B, N, 4): the upright boxes around the moved ones, as far as they lie inside the pictures.

    Where a picture turns, the box of an object that does not fill its own is wider than need be; the box
    `around` its moved mask is not. An object that has left its picture has a box without area.

    Args:
        boxes_BN4: left, top, right and bottom in pixels.
        sides: height and width of the pictures.

    Raises:
        UsageError: the policy lays pictures over one another.
    """
    middle_2 = torch.tensor([sides[1] / 2, sides[0] / 2], device=boxes_BN4.device)
    corners_BN42 = boxes_BN4.float()[:, :, [0, 1, 2, 1, 2, 3, 0, 3]].unflatten(2, (4, 2)) - middle_2
    for place in _places(policy, sides, uniforms_BD):
        # A place takes pixels of the result to those of the picture; corners go the other way.
        back_B22 = torch.linalg.inv(place[:, :, :2])
        corners_BN42 = (corners_BN42 - place[:, None, None, :, 2]) @ back_B22.mT[:, None]
    corners_BN42 = corners_BN42 + middle_2
    limits_2 = 2 * middle_2
    low_BN2, high_BN2 = corners_BN42.amin(2), corners_BN42.amax(2)
    return torch.cat([low_BN2.clamp(min=0).minimum(limits_2), high_BN2.clamp(min=0).minimum(limits_2)], 2)


def around(masks_BNHW: Tensor) -> Tensor:
    """float32 (B, N, 4): the smallest box around each mask; all 0 where it is empty."""
    spans = []
    for dim in (2, 3):  # columns first: x stands before y
        is_there_BNS = masks_BNHW.any(dim)
        side = is_there_BNS.shape[2]
        first_BN = is_there_BNS.int().argmax(2)
        last_BN = side - is_there_BNS.flip(2).int().argmax(2)
        spans += [first_BN, torch.where(is_there_BNS.any(2), last_BN, 0)]
    return torch.stack([spans[0], spans[2], spans[1], spans[3]], 2).float()


def _places(policy: augment.Policy | None, sides: Sequence[int], uniforms_BD: Tensor) -> list[Tensor]:
    blending = sorted(BLENDS & augment.strengths(policy).keys())
    if blending:
        raise UsageError(
            f"boxes and masks cannot follow `{blending[0]}`: it lays pictures over one another",
            hint="leave it out of the policy",
        )
    return augment.places(policy, sides, uniforms_BD)
