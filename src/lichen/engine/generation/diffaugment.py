"""diffaugment: real and made pictures are varied alike before they are told apart; gradients pass through.

A discriminator of few rows learns them by heart; varied it cannot, and as made pictures are varied too, the
generator does not learn the variations.
Paper: Zhao et al. 2020, section 3.3: colour, translation by an eighth, cutout of half a side.

Shapes: B rows, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SHIFT, HOLE = 0.125, 0.5


def colour(x_BCHW: Tensor) -> Tensor:
    """Brightness by up to a half, saturation and contrast by up to their doubles."""
    by_B111 = [torch.rand(len(x_BCHW), 1, 1, 1, device=x_BCHW.device) for _ in range(3)]
    x_BCHW = x_BCHW + (by_B111[0] - 0.5)
    if x_BCHW.shape[1] > 1:
        grey_B1HW = x_BCHW.mean(1, keepdim=True)
        x_BCHW = (x_BCHW - grey_B1HW) * (2.0 * by_B111[1]) + grey_B1HW
    mean_B111 = x_BCHW.mean((1, 2, 3), keepdim=True)
    return (x_BCHW - mean_B111) * (by_B111[2] + 0.5) + mean_B111


def translation(x_BCHW: Tensor) -> Tensor:
    """Moves by whole pixels; what comes in is the value of an empty picture, -1."""
    places = []
    for length in x_BCHW.shape[2:]:
        reach = max(1, round(length * SHIFT))
        shift_B1 = torch.randint(-reach, reach + 1, (len(x_BCHW), 1), device=x_BCHW.device)
        places.append((torch.arange(length, device=x_BCHW.device) + shift_B1 + 1).clamp(0, length + 1))
    padded = functional.pad(x_BCHW, (1, 1, 1, 1), value=-1.0).permute(0, 2, 3, 1)
    rows_B11 = torch.arange(len(x_BCHW), device=x_BCHW.device)[:, None, None]
    return padded[rows_B11, places[0][:, :, None], places[1][:, None, :]].permute(0, 3, 1, 2)


def cutout(x_BCHW: Tensor) -> Tensor:
    """A square of half the side becomes grey."""
    is_kept = []
    for length in x_BCHW.shape[2:]:
        size = max(1, round(length * HOLE))
        start_B1 = torch.randint(0, length + 1 - size % 2, (len(x_BCHW), 1), device=x_BCHW.device) - size // 2
        place = torch.arange(length, device=x_BCHW.device)
        is_kept.append((place < start_B1) | (place >= start_B1 + size))
    mask_B1HW = (is_kept[0][:, None, :, None] | is_kept[1][:, None, None, :]).to(x_BCHW.dtype)
    return x_BCHW * mask_B1HW


WAYS = {"colour": colour, "translation": translation, "cutout": cutout}


def apply(x_BCHW: Tensor, ways: tuple[str, ...]) -> Tensor:
    """Pictures varied in these ways, by draws of torch's generator."""
    for way in ways:
        x_BCHW = WAYS[way](x_BCHW)
    return x_BCHW
