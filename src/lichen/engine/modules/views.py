"""views: a picture is answered from several sides and the answers are averaged: test-time augmentation.

A model says so in its asset `views`; evaluation, prediction, serving and every graph go through here.
Paper: Jordan 2024, section 3.5 (the mirrored picture, and both moved by a pixel to two corners).

Shapes: B rows, C channels, H height, W width, V views, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError

VIEWS = {
    "flip": ((0, False, 0.5), (0, True, 0.5)),
    "flip_shift": (
        (0, False, 0.25), (0, True, 0.25),
        (-1, False, 0.125), (-1, True, 0.125), (1, False, 0.125), (1, True, 0.125),
    ),
}  # fmt: skip
"""Of each: pixels moved down and to the right, whether it is mirrored, its share of the answer."""


def answered(module: nn.Module, x_BCHW: Tensor, assets: Mapping[str, Any]) -> Tensor:
    """What a net answers (B, K), averaged over the views that the assets name; without any, one view.

    Raises:
        UsageError: they name views that are not known.
    """
    name = assets.get("views")
    if name is None:
        return module(x_BCHW)
    if not isinstance(name, str) or name not in VIEWS:
        raise UsageError(f"the model's views must be one of {', '.join(VIEWS)}, not {str(name)[:40]!r}")
    views = VIEWS[name]
    seen = torch.cat([_seen(x_BCHW, pixels, is_mirrored) for pixels, is_mirrored, _ in views])
    outputs_VBK = module(seen).float().unflatten(0, (len(views), -1))
    shares_V11 = torch.tensor([share for _, _, share in views], device=x_BCHW.device)[:, None, None]
    return (shares_V11 * outputs_VBK).sum(0)


def _seen(x_BCHW: Tensor, pixels: int, is_mirrored: bool) -> Tensor:
    """A picture moved along the diagonal, its edge pixels reflected, and perhaps mirrored left to right."""
    if pixels:
        height, width = x_BCHW.shape[2:]
        padded = functional.pad(x_BCHW, (1, 1, 1, 1), mode="reflect")
        x_BCHW = padded[:, :, 1 - pixels : 1 - pixels + height, 1 - pixels : 1 - pixels + width]
    return x_BCHW.flip(3) if is_mirrored else x_BCHW
