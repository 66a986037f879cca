"""wide: the fourteen operations of TrivialAugment and RandAugment, for each row the one that it drew.

Rows are gathered by kind: all moves are one bilinear look-up, all curves (brightness, contrast, posterize,
solarize, autocontrast, equalize) one look-up in a table of 256 levels per row and channel.

Papers: Mueller and Hutter 2021 (TrivialAugment, the wide space); Cubuk et al. 2020 (RandAugment).
Departs from them: how much is drawn from a continuum and not from 31 levels; beyond its edges a picture goes
on as its reflection and is not black; moves are interpolated.
Shapes: B rows, C channels (1 or 3), H height, W width, L = 256 levels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lichen.data import warp

LEVELS = 256
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow weighs colours."""
FURTHEST = 0.99
"""Of shears (a tangent), and of the factors of brightness, contrast, colour and sharpness about 1."""
PIXELS, DEGREES = 32.0, 135.0
"""Of translations and rotations."""
MOST_BITS, LEAST_BITS = 8, 2


def varied(images_BCHW: Tensor, which_B: Tensor, amount_B: Tensor, is_back_B: Tensor) -> Tensor:
    """uint8: each row after one operation.

    Args:
        images_BCHW: uint8.
        which_B: numbers of `NAMES`.
        amount_B: in [0, 1], how far the operation goes.
        is_back_B: which of the two ways, where it has two.
    """
    out_BCHW = images_BCHW.clone()
    signed_B = torch.where(is_back_B, -amount_B, amount_B)
    for numbers, kind in KINDS:
        rows = torch.isin(which_B, torch.tensor(numbers, device=which_B.device)).nonzero()[:, 0]
        if len(rows):
            some = images_BCHW.index_select(0, rows)
            out_BCHW.index_copy_(0, rows, kind(some, which_B[rows], amount_B[rows], signed_B[rows]))
    return out_BCHW


def _moved(images: Tensor, which: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    return levels(warp.sampled(images.float(), place(which, signed)))


def place(which_B: Tensor, signed_B: Tensor) -> Tensor:
    """(B, 2, 3): where `warp` reads each row; those whose operation does not move stay.

    Args:
        signed_B: in [-1, 1], how far the operation goes, and which way.
    """
    nothing, found = torch.zeros_like(signed_B), warp.identity(len(signed_B), signed_B.device)

    def only(name: str, how_far: Tensor) -> Tensor:
        return torch.where(which_B == NAMES.index(name), how_far, nothing)

    found = warp.rotated(found, torch.deg2rad(only("rotate", signed_B * DEGREES)))
    found = warp.sheared(
        found, only("shear across", signed_B * FURTHEST), only("shear down", signed_B * FURTHEST)
    )
    across, down = only("shift across", signed_B * PIXELS), only("shift down", signed_B * PIXELS)
    return warp.moved(found, torch.stack([across, down], 1))


def _curved(images: Tensor, which: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """All curves: a table per row and channel."""
    num_rows, channels, height, width = images.shape
    tables_BCL = torch.empty(num_rows, channels, LEVELS, dtype=torch.uint8, device=images.device)
    for name, curve in CURVES.items():
        rows = (which == NAMES.index(name)).nonzero()[:, 0]
        if len(rows):
            tables_BCL[rows] = curve(images[rows], amount[rows], signed[rows])
    first = torch.arange(num_rows * channels, dtype=torch.int32, device=images.device) * LEVELS
    places = images.reshape(num_rows * channels, -1) + first[:, None]
    return tables_BCL.view(-1).index_select(0, places.view(-1)).view(num_rows, channels, height, width)


def _ramp(images: Tensor) -> Tensor:
    return torch.arange(LEVELS, device=images.device)


def _brightness(images: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    return levels(_ramp(images) * _factor(signed))


def _contrast(images: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """About the mean grey."""
    middle = grey_of(images).round().mean((1, 2, 3)).round()[:, None, None]
    return levels((_ramp(images) - middle) * _factor(signed) + middle)


def _factor(signed: Tensor) -> Tensor:
    return (1.0 + FURTHEST * signed)[:, None, None]


def _posterize(images: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """Keeps the highest bits of each level."""
    dropped = ((MOST_BITS - LEAST_BITS) * amount).round().int()[:, None, None]
    return (_ramp(images).int() >> dropped << dropped).to(torch.uint8)


def _solarize(images: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """Levels above a threshold are inverted."""
    ramp, threshold = _ramp(images), (255.0 * (1.0 - amount))[:, None, None]
    return torch.where(ramp < threshold, ramp, 255 - ramp).to(torch.uint8)


def _autocontrast(images: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """The darkest level of a channel becomes 0, its lightest 255; a plain one stays."""
    flat = images.flatten(2)
    low, high = flat.amin(2, keepdim=True).double(), flat.amax(2, keepdim=True).double()
    ramp, scale = _ramp(images), torch.full_like(high, 255.0) / (high - low)
    stretched = (ramp * scale - low * scale).nan_to_num(0.0).clamp(0.0, 255.0).floor()
    return torch.where(high > low, stretched, ramp).to(torch.uint8)


def _equalize(images: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """Levels spread so that each holds about as many pixels of a channel."""
    num_rows, channels = images.shape[:2]
    first = torch.arange(num_rows * channels, device=images.device) * LEVELS
    places = images.reshape(num_rows * channels, -1) + first[:, None]
    counts = torch.bincount(places.view(-1), minlength=num_rows * channels * LEVELS)
    counts = counts.view(num_rows, channels, LEVELS)
    last = (counts > 0).long().mul(_ramp(images) + 1).argmax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, last)) // (LEVELS - 1)
    below = counts.cumsum(2) - counts
    spread = ((below + step // 2) // step.clamp(min=1)).clamp(max=LEVELS - 1)
    return torch.where(step > 0, spread, _ramp(images)).to(torch.uint8)


def _coloured(images: Tensor, which: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """Towards grey or away from it."""
    grey = grey_of(images).round()
    return levels(grey + (images - grey) * _factor(signed)[..., None])


def _sharpened(images: Tensor, which: Tensor, amount: Tensor, signed: Tensor) -> Tensor:
    """Away from its mean with the eight pixels around, or towards it; the outermost pixels stay."""
    plain = images.float()
    lines = plain[:, :, :-2] + plain[:, :, 1:-1] + plain[:, :, 2:]
    around = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    inner = plain[:, :, 1:-1, 1:-1]
    smooth = ((around + 4.0 * inner) / 13.0).round()
    out = plain.clone()
    out[:, :, 1:-1, 1:-1] = smooth + (inner - smooth) * _factor(signed)[..., None]
    return levels(out)


def levels(pixels: Tensor) -> Tensor:
    """uint8: the nearest levels; floats are rounded in place."""
    if not pixels.is_floating_point():
        return pixels
    return pixels.round_().clamp_(0.0, 255.0).to(torch.uint8)


def grey_of(images_BCHW: Tensor) -> Tensor:
    """float32 (B, 1, H, W)."""
    if images_BCHW.shape[1] != 3:
        return images_BCHW.float().mean(1, keepdim=True)
    red, green, blue = (plane * weight for plane, weight in zip(images_BCHW.split(1, 1), LUMA))
    return red + green + blue  # not a matrix product: its bits would depend on the batch


Curve = Callable[[Tensor, Tensor, Tensor], Tensor]
Kind = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
CURVES: dict[str, Curve] = {
    "brightness": _brightness, "contrast": _contrast, "posterize": _posterize, "solarize": _solarize,
    "autocontrast": _autocontrast, "equalize": _equalize,
}  # fmt: skip
MOVES = ("rotate", "shear across", "shear down", "shift across", "shift down")
NAMES = ("nothing", *MOVES, *CURVES, "colour", "sharpness")
KINDS: tuple[tuple[list[int], Kind], ...] = (
    ([NAMES.index(name) for name in MOVES], _moved),
    ([NAMES.index(name) for name in CURVES], _curved),
    ([NAMES.index("colour")], _coloured),
    ([NAMES.index("sharpness")], _sharpened),
)
