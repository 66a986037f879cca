"""warp: pictures moved row by row: whole pixels by copying, everything else by one bilinear look-up.

A place is an affine map (B, 2, 3) from pixels of the result to pixels of the picture, both counted from the
middle, x before y. Beyond its edges a picture goes on as its reflection.

Shapes: B rows, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def copied(images_BCHW: Tensor, down_B: Tensor, across_B: Tensor, is_flipped_B: Tensor) -> Tensor:
    """The window of a picture's own size moved by whole pixels, then mirrored where asked; any dtype."""
    rows, channels, height, width = images_BCHW.shape
    lines_BH = _reflected(torch.arange(height, device=down_B.device)[None] + down_B[:, None], height)
    columns_BW = _reflected(torch.arange(width, device=down_B.device)[None] + across_B[:, None], width)
    columns_BW = torch.where(is_flipped_B[:, None], columns_BW.flip(1), columns_BW)
    # Whole lines first, then pixels within them: twice as fast as one look-up of single pixels.
    planes = torch.arange(rows * channels, device=down_B.device).view(rows, channels, 1)
    lines = (planes * height + lines_BH[:, None]).reshape(-1)
    moved_BCHW = images_BCHW.reshape(-1, width).index_select(0, lines).view_as(images_BCHW)
    return moved_BCHW.gather(3, columns_BW[:, None, None].expand(rows, channels, height, width))


def _reflected(places: Tensor, side: int) -> Tensor:
    """-1 is 1, and `side` is `side - 2`."""
    last = side - 1
    return (last - (last - places.abs()).abs()).clamp_(0)


def identity(num_rows: int, device: torch.device) -> Tensor:
    return torch.eye(2, 3, device=device).expand(num_rows, 2, 3)


def rotated(place: Tensor, radians_B: Tensor) -> Tensor:
    cos, sin = radians_B.cos(), radians_B.sin()
    return _turned(place, torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2))


def sheared(place: Tensor, across_B: Tensor, down_B: Tensor) -> Tensor:
    ones = torch.ones_like(across_B)
    return _turned(place, torch.stack([ones, across_B, down_B, ones], 1).view(-1, 2, 2))


def scaled(place: Tensor, factor_B: Tensor) -> Tensor:
    return place * factor_B[:, None, None]


def mirrored(place: Tensor, is_flipped_B: Tensor) -> Tensor:
    """Left and right of the result change places."""
    sign_B = 1.0 - 2.0 * is_flipped_B.float()
    return place * torch.stack([sign_B, torch.ones_like(sign_B), torch.ones_like(sign_B)], 1)[:, None, :]


def moved(place: Tensor, pixels_B2: Tensor) -> Tensor:
    return torch.cat([place[:, :, :2], place[:, :, 2:] + pixels_B2[:, :, None]], 2)


def _turned(place: Tensor, turn_B22: Tensor) -> Tensor:
    return turn_B22 @ place


def sampled(images_BCHW: Tensor, place: Tensor, *, beyond: str = "reflection") -> Tensor:
    """float32 pictures read at the places of a map, bilinearly.

    Args:
        beyond: what lies past the edges, `reflection` or `zeros`.
    """
    height, width = images_BCHW.shape[2:]
    half = torch.tensor([width / 2, height / 2], device=place.device)
    units = torch.cat([half, torch.ones(1, device=place.device)])
    grid = functional.affine_grid(place * units / half[:, None], list(images_BCHW.shape), align_corners=False)
    return functional.grid_sample(images_BCHW, grid, padding_mode=beyond, align_corners=False)


def windows(sides: Sequence[int], lengths: Sequence[int | Tensor], places: Sequence[Tensor]) -> Tensor:
    """bool (B, H, W): a rectangle about a place of each picture, as far as it lies inside.

    Args:
        sides: height and width.
        lengths: of the rectangle, whole numbers; (B,) where rows differ.
        places: (B,) of its middle, in [0, 1) of each side.
    """
    inside = []
    for side, length, place_B in zip(sides, lengths, places, strict=True):
        first_B = (place_B * side).long() - length // 2
        pixels_1S = torch.arange(side, device=place_B.device)[None]
        inside.append((pixels_1S >= first_B[:, None]) & (pixels_1S < (first_B + length)[:, None]))
    return inside[0][:, :, None] & inside[1][:, None, :]
