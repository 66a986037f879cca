"""augment: operations on batches, each row by its own draws, in one pass over the pixels.

Whatever the order in which a policy names them, geometry comes first, composed into one move, then
trivialaugment, randaugment, augmix, colour and blur, then cutout. Flips and crops alone only copy bytes; any
other move interpolates once for all of them. Every operation owns fixed draws, so naming another one changes
nothing for those that were there.

Shapes: B rows, C channels, H height, W width, D draws of the whole policy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lichen.core.errors import OptionError, nearest
from lichen.data import augmix, favour, warp, wide
from lichen.data.draws import uniforms

OPERATIONS = {
    "flip": (0.5, 0.0, 1.0),
    "alternating_flip": (1.0, 0.0, 1.0),
    "crop": (0.125, 0.0, 0.5),
    "shift": (0.1, 0.0, 1.0),
    "rotate": (15.0, 0.0, 180.0),
    "zoom": (0.15, 0.0, 3.0),
    "shear": (10.0, 0.0, 60.0),
    "trivialaugment": (1.0, 0.0, 1.0),
    "randaugment": (0.3, 0.0, 1.0),
    "augmix": (0.3, 0.0, 1.0),
    "colour": (0.2, 0.0, 1.0),
    "blur": (1.0, 0.0, 4.0),
    "cutout": (0.25, 0.0, 1.0),
    "mixup": (0.2, 0.0, 4.0),
    "cutmix": (1.0, 0.0, 4.0),
}
"""Usual strength, least and greatest of each; a strength is

flip: the share of rows mirrored left to right.
alternating_flip: the share of rows mirrored in every second epoch, half of them in the even ones.
crop: the share of a side by which a window of the picture's own size moves, in whole pixels, over the picture
and its reflection. shift: the same in fractions of pixels.
rotate, shear: degrees to either side. zoom: 0.15 is from 1 / 1.15 to 1.15.
trivialaugment: as far as one of the fourteen operations of `wide` goes at most, as a share of its reach.
randaugment: as far as each of two of them goes (M / 30). augmix: the severity / 10 of its operations.
colour: the share by which brightness, contrast and saturation change.
blur: the greatest deviation of a Gaussian, in pixels.
cutout: the side of a square, as a share of the picture's, that takes the picture's mean.
mixup, cutmix: both parameters of the Beta distribution of the share that a row keeps of itself; see `mix`.
"""
DRAWS = {
    "flip": (0,), "crop": (1, 2), "shift": (3, 4), "rotate": (5,), "zoom": (6,), "shear": (7, 8),
    "colour": (9, 10, 11), "cutout": (12, 13), "trivialaugment": (14, 15, 16),
    "randaugment": (17, 18, 19, 20), "mixup": (21,), "cutmix": (22, 23, 24, 25), "blur": (26,),
    "augmix": tuple(range(27, 27 + augmix.NUM_DRAWS)),
    "alternating_flip": (27 + augmix.NUM_DRAWS,),
}  # fmt: skip
"""The numbers of the draws that each operation owns."""
COPIES = {"flip", "alternating_flip", "crop"}
"""Moves by whole pixels."""
MOVES = {"flip", "alternating_flip", "crop", "shift", "rotate", "zoom", "shear"}
Policy = Sequence[Mapping[str, Any]]
DRAWN = {"trivialaugment": (14,), "randaugment": (17, 19)}
"""Operations that draw some of the wide ones, and the numbers of the draws that say which."""


def policy_of(
    ops: Sequence[Mapping[str, float]], favours: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """`[{"flip": 0.5}]` as a Dataset keeps it, without what has no strength.

    Args:
        favours: how often each wide operation is drawn; see `favour`.

    Raises:
        OptionError: an operation is named twice; or no operation draws the wide ones, or they are not named
            as they should be.
    """
    policy = [{"op": op, "strength": amount} for pair in ops for op, amount in pair.items() if amount > 0]
    names = [entry["op"] for entry in policy]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"a policy must name an operation once; `{twice[0]}` is named again",
                          hint=f"one strength for it: {{{twice[0]}: ...}}")  # fmt: skip
    if not favours:
        return policy
    checked = favour.check(favours)
    if not any(entry["op"] in DRAWN for entry in policy):
        raise OptionError(f"option `favour` needs {' or '.join(DRAWN)} among the operations")
    return [{**entry, "favour": checked} if entry["op"] in DRAWN else entry for entry in policy]


def numbers(policy: Policy | None) -> list[int]:
    """The draws that a policy needs, in the order in which `apply` takes them.

    Raises:
        OptionError: an operation is not known.
    """
    return [number for op in strengths(policy) for number in DRAWS[op]]


def strengths(policy: Policy | None) -> dict[str, float]:
    for entry in policy or ():
        if entry["op"] not in OPERATIONS:
            raise OptionError(f"unknown augmentation `{entry['op']}`", hint=nearest(entry["op"], OPERATIONS))
    return {entry["op"]: entry["strength"] for entry in policy or () if entry["strength"] > 0}


def favours(policy: Policy | None) -> dict[str, Mapping[str, float]]:
    """What is favoured, by the operation that draws it."""
    return {entry["op"]: entry["favour"] for entry in policy or () if entry.get("favour")}


def weights(policy: Policy | None, uniforms_BD: Tensor) -> Tensor | None:
    """float32 (B,): what each row counts in the loss; None: all the same."""
    found, draws = favours(policy), columns(policy, uniforms_BD)
    parts = [
        favour.weights(draws[op][DRAWS[op].index(number)], favoured)
        for op, favoured in found.items()
        for number in DRAWN[op]
    ]
    return torch.stack(parts).prod(0) if parts else None


def drawn(policy: Policy | None, ids_B: Tensor, *, seed: int, epoch: int) -> Tensor:
    """float32 (B, D) in [0, 1): the draws of rows in an epoch, one column per number in `numbers`.

    Where a row stands in the alternation is drawn once, in epoch 0, and moves on by half a turn each epoch
    (Jordan 2024, section 3.6).
    """
    owned = numbers(policy)
    numbers_D = torch.tensor(owned, dtype=torch.int64, device=ids_B.device)
    drawn_BD = uniforms(ids_B, numbers_D, seed=seed, epoch=epoch).float()
    for place in (owned.index(number) for number in DRAWS["alternating_flip"] if number in owned):
        first_B1 = uniforms(ids_B, numbers_D[place : place + 1], seed=seed, epoch=0).float()
        drawn_BD[:, place] = (first_B1[:, 0] + epoch / 2) % 1.0
    return drawn_BD


def columns(policy: Policy | None, uniforms_BD: Tensor) -> dict[str, list[Tensor]]:
    """The draws (B,) of each operation, from one column per number in `numbers`."""
    each = iter(uniforms_BD.unbind(1))
    return {op: [next(each) for _ in DRAWS[op]] for op in strengths(policy)}


def apply(policy: Policy | None, images_BCHW: Tensor, uniforms_BD: Tensor) -> Tensor:
    """The batch after what a policy does to single rows: uint8 or float32 from 0 to 255. `mix` does the rest.

    Args:
        images_BCHW: uint8.
        uniforms_BD: in [0, 1), one column per number in `numbers`.
    """
    found = strengths(policy)
    draws = columns(policy, uniforms_BD)
    moves = MOVES & found.keys()
    if moves and moves <= COPIES:
        images_BCHW = _copied(images_BCHW, found, draws)
    elif moves:
        place = _place(images_BCHW.shape[2:], found, draws, uniforms_BD[:, 0])
        images_BCHW = warp.sampled(images_BCHW.float(), place)
    for which_B, amount_B, is_back_B in _drawn(found, draws, favours(policy)):
        images_BCHW = wide.varied(wide.levels(images_BCHW), which_B, amount_B, is_back_B)
    if "augmix" in found:
        images_BCHW = augmix.varied(wide.levels(images_BCHW), draws["augmix"], found["augmix"])
    if "colour" in found:
        images_BCHW = _coloured(images_BCHW.float(), found["colour"], draws["colour"])
    if "blur" in found:
        images_BCHW = _blurred(images_BCHW.float(), draws["blur"][0] * found["blur"], found["blur"])
    if "cutout" in found:
        images_BCHW = _cut(images_BCHW, found["cutout"], draws["cutout"])
    return images_BCHW


def _copied(images_BCHW: Tensor, found: Mapping[str, float], draws: Mapping[str, list[Tensor]]) -> Tensor:
    down_B = across_B = torch.zeros(len(images_BCHW), dtype=torch.int64, device=images_BCHW.device)
    if "crop" in found:
        down_B, across_B = _steps(images_BCHW.shape[2:], found["crop"], draws["crop"])
    return warp.copied(images_BCHW, down_B, across_B, _is_flipped(found, draws, down_B))


def _is_flipped(found: Mapping[str, float], draws: Mapping[str, list[Tensor]], like_B: Tensor) -> Tensor:
    """bool (B,): twice mirrored is not mirrored."""
    is_flipped_B = torch.zeros_like(like_B, dtype=torch.bool)
    if "flip" in found:
        is_flipped_B = draws["flip"][0] < found["flip"]
    if "alternating_flip" in found:
        is_flipped_B = is_flipped_B ^ (draws["alternating_flip"][0] < found["alternating_flip"] / 2)
    return is_flipped_B


def _steps(sides: Sequence[int], strength: float, draws: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Whole pixels (B,) down and across, each from -reach to reach alike."""
    reaches = [max(1, round(strength * side)) for side in sides]
    down_B, across_B = ((drawn_B * (2 * reach + 1)).long() - reach for reach, drawn_B in zip(reaches, draws))
    return down_B, across_B


def _place(
    sides: Sequence[int], found: Mapping[str, float], draws: Mapping[str, list[Tensor]], like_B: Tensor
) -> Tensor:
    """All moves as one: each takes a place of the result, from its middle, to a place of the picture."""
    across_down = torch.tensor([sides[1], sides[0]], dtype=torch.float32, device=like_B.device)
    place = warp.identity(len(like_B), like_B.device)
    if "rotate" in found:
        place = warp.rotated(place, torch.deg2rad(_spread(draws["rotate"][0], found["rotate"])))
    if "shear" in found:
        tangents = [torch.tan(torch.deg2rad(_spread(drawn_B, found["shear"]))) for drawn_B in draws["shear"]]
        place = warp.sheared(place, *tangents)
    if "zoom" in found:
        place = warp.scaled(place, (1.0 + found["zoom"]) ** _spread(draws["zoom"][0], 1.0))
    if "shift" in found:
        place = warp.moved(place, _spread(torch.stack(draws["shift"], 1), found["shift"]) * across_down)
    if "crop" in found:
        down_B, across_B = _steps(sides, found["crop"], draws["crop"])
        place = warp.moved(place, torch.stack([across_B, down_B], 1).float())
    if {"flip", "alternating_flip"} & found.keys():
        place = warp.mirrored(place, _is_flipped(found, draws, like_B))
    return place


def places(policy: Policy | None, sides: Sequence[int], uniforms_BD: Tensor) -> list[Tensor]:
    """The moves (B, 2, 3) that a policy makes in turn, as `warp` understands them.

    Args:
        sides: height and width of the pictures.
    """
    found, draws = strengths(policy), columns(policy, uniforms_BD)
    moves = [_place(sides, found, draws, uniforms_BD[:, 0])] if MOVES & found.keys() else []
    for which_B, amount_B, is_back_B in _drawn(found, draws, favours(policy)):
        moves.append(wide.place(which_B, torch.where(is_back_B, -amount_B, amount_B)))
    return moves


Drawn = tuple[Tensor, Tensor, Tensor]
"""(B,): which of the wide operations, how far it goes, and whether the other way."""


def _drawn(
    found: Mapping[str, float],
    draws: Mapping[str, list[Tensor]],
    favoured: Mapping[str, Mapping[str, float]],
) -> Iterator[Drawn]:
    """The wide operations of each row in turn."""
    if "trivialaugment" in found:
        which_B, amount_B, way_B = draws["trivialaugment"]
        which_B = favour.chosen(which_B, favoured.get("trivialaugment"))
        yield which_B, amount_B * found["trivialaugment"], way_B < 0.5
    if "randaugment" in found:
        reach_B = torch.full_like(draws["randaugment"][0], found["randaugment"])
        for which_B, way_B in (draws["randaugment"][:2], draws["randaugment"][2:]):
            yield favour.chosen(which_B, favoured.get("randaugment")), reach_B, way_B < 0.5


def _spread(drawn: Tensor, reach: float) -> Tensor:
    """Uniform in [-reach, reach)."""
    return (2.0 * drawn - 1.0) * reach


def _coloured(images_BCHW: Tensor, strength: float, draws: Sequence[Tensor]) -> Tensor:
    """Brightness b, then contrast k about the mean grey m, then saturation s about each pixel's grey g.

    Written out, s k b x + (1 - s) k b g(x) + (1 - k) b m: one pass over the pixels.
    """
    bright, contrast, saturation = (
        (1.0 + _spread(drawn_B, strength))[:, None, None, None] for drawn_B in draws
    )
    grey_B1HW = wide.grey_of(images_BCHW)
    if images_BCHW.shape[1] != 3:
        saturation = torch.ones_like(saturation)
    middle_B111 = grey_B1HW.mean((2, 3), keepdim=True)
    offset_B1HW = (1.0 - saturation) * contrast * bright * grey_B1HW + (1.0 - contrast) * bright * middle_B111
    return torch.addcmul(offset_B1HW, images_BCHW, saturation * contrast * bright).clamp_(0.0, 255.0)


def _blurred(images_BCHW: Tensor, deviation_B: Tensor, greatest: float) -> Tensor:
    """A Gaussian of each row's own deviation, cut off at three of the greatest; edges reflect."""
    reach = min(math.ceil(3.0 * greatest), *(side - 1 for side in images_BCHW.shape[2:]))
    places_T = torch.arange(-reach, reach + 1, device=images_BCHW.device)
    weights_BT = torch.exp(-0.5 * (places_T / deviation_B.clamp(min=1e-3)[:, None]) ** 2)
    weights_BT = weights_BT / weights_BT.sum(1, keepdim=True)
    for dim in (2, 3):
        pad = (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0)
        padded, side = functional.pad(images_BCHW, pad, mode="reflect"), images_BCHW.shape[dim]
        images_BCHW = torch.zeros_like(images_BCHW)
        for place in range(2 * reach + 1):
            images_BCHW += padded.narrow(dim, place, side) * weights_BT[:, place, None, None, None]
    return images_BCHW


def _cut(images_BCHW: Tensor, strength: float, draws: Sequence[Tensor]) -> Tensor:
    """A square about a uniform place, as far as it lies inside, becomes the mean of each row and channel."""
    sides = images_BCHW.shape[2:]
    lengths = [max(1, round(strength * side)) for side in sides]
    is_cut_B1HW = warp.windows(sides, lengths, draws)[:, None]
    mean_BC11 = images_BCHW.float().mean((2, 3), keepdim=True).to(images_BCHW.dtype)
    return torch.where(is_cut_B1HW, mean_BC11, images_BCHW)
