"""spectral: a discriminator whose layers stretch no direction: its answers change no faster than pictures.

Paper: Miyato et al. 2018; the power iteration is torch's own.
"""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrizations, parametrize


def normed(discriminator: nn.Module) -> nn.Module:
    """Every layer's matrix divided by its largest singular value, in place (Miyato et al. 2018)."""
    for layer in list(discriminator.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(layer)
    return discriminator


def plain(discriminator: nn.Module) -> nn.Module:
    """The same with the matrices as they are used, so that the net's file alone rebuilds it."""
    discriminator.eval()
    for layer in list(discriminator.modules()):
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")
    return discriminator
