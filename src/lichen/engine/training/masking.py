"""masking: weights that are held at zero, W' = W * P, while the others learn.

Which layers are masked stands in a Model's assets under `masks`; what P is, their zeros say themselves.
Paper: Han et al. 2015 (magnitudes); Zhu and Gupta 2017 (a gradual share); Mishra et al. 2021 (2 of every 4).

Shapes: O outputs, I inputs, K K kernel of a convolution; weights are (O, I) or (O, I, K, K).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lichen.core.errors import UsageError
from lichen.engine.modules.heads import answering_layer

ASSET = "masks"
OF_FOUR = 4
KEPT_OF_FOUR = 2


class Masked(nn.Module):
    """W -> W * P."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask: Tensor
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def masks(module: nn.Module, pattern: str, sparsity: float, image_shape: list[int]) -> dict[str, Tensor]:
    """Per layer 1 where a weight stays and 0 where it goes: the smallest magnitudes go.

    Args:
        pattern: `global`: the smallest of all layers together; `layer`: the same share of every layer;
            `2:4`: two of every four inputs, in layers whose inputs come in fours.
        sparsity: the share that goes; 2:4 knows only a half.

    Raises:
        UsageError: no layer can be masked so.
    """
    weights = {name: layer.weight.detach() for name, layer in _layers(module, image_shape).items()}
    if pattern == "2:4":
        found = {
            name: _two_of_four(weight) for name, weight in weights.items() if weight.shape[1] % OF_FOUR == 0
        }
    elif pattern == "layer":
        found = {name: _above(weight.abs(), sparsity).to(weight) for name, weight in weights.items()}
    else:
        kept = _above(torch.cat([weight.abs().flatten() for weight in weights.values()]), sparsity)
        parts = kept.split([weight.numel() for weight in weights.values()])
        found = {name: part.view(weight.shape).to(weight)
                 for (name, weight), part in zip(weights.items(), parts, strict=True)}  # fmt: skip
    if not found:
        raise UsageError(
            "a layer must have inputs in fours for 2:4; none of this net's has", hint="pattern='layer'"
        )
    return found


def _layers(module: nn.Module, image_shape: list[int]) -> dict[str, Any]:
    """Layers with weights, without the one that answers: it is small and every class hangs on it."""
    last = answering_layer(module, image_shape)
    found = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer is not last and layer.weight.numel()
    }
    if not found:
        raise UsageError("this net has no layer whose weights can be masked: only the one that answers")
    return found


def _above(size: Tensor, sparsity: float) -> Tensor:
    """True for all but the smallest share; of equal ones the later stay."""
    order = torch.argsort(size.flatten(), stable=True)
    kept = torch.ones(size.numel(), dtype=torch.bool)
    kept[order[: round(sparsity * size.numel())]] = False
    return kept.view(size.shape)


def _two_of_four(weight: Tensor) -> Tensor:
    """1 for the two largest of every four inputs that follow each other, at each place of the kernel."""
    fours = weight.abs().movedim(1, -1).unflatten(-1, (-1, OF_FOUR))
    largest = torch.argsort(fours, dim=-1, descending=True, stable=True)[..., :KEPT_OF_FOUR]
    kept = torch.zeros_like(fours).scatter_(-1, largest, 1.0)
    return kept.flatten(-2).movedim(-1, 1).contiguous()


def shares(module: nn.Module, names: list[str]) -> dict[str, float]:
    """The share of zeros per layer."""
    return {name: float((_weight(module.get_submodule(name)) == 0).float().mean()) for name in names}


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


@contextmanager
def held(module: nn.Module, found: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """Has masked weights stay at zero, whatever is learnt; afterwards they are plain tensors again."""
    layers = {name: module.get_submodule(name) for name in found}
    for name, layer in layers.items():
        parametrize.register_parametrization(layer, "weight", Masked(found[name].to(_weight(layer))))
    try:
        yield module
    finally:
        for layer in layers.values():  # what lay around them may have been taken off with them
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


@contextmanager
def kept(module: nn.Module, assets: Mapping[str, Any]) -> Iterator[Mapping[str, Tensor]]:
    """Holds the zeros of a Model that was sparsified, by its assets: its masks, none of any other."""
    found = of(module, assets)
    with held(module, found):
        yield found


def of(module: nn.Module, assets: Mapping[str, Any]) -> dict[str, Tensor]:
    """The masks of a Model that was sparsified."""
    names = [name for name in assets.get(ASSET, {}).get("layers", []) if _has_weight(module, name)]
    return {name: (_weight(module.get_submodule(name)) != 0).float() for name in names}


def both(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What stays under either of two masks."""
    found = {**other, **one}
    return {name: mask * other[name].to(mask) if name in one and name in other else mask
            for name, mask in found.items()}  # fmt: skip


def _has_weight(module: nn.Module, name: str) -> bool:
    return any(name == own and hasattr(layer, "weight") for own, layer in module.named_modules())
