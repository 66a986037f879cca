"""generating: pictures or rows of tables from a generator, each a function of (seed, its number, its class).

Shapes: M rows drawn, B rows of a batch, K classes, Z numbers of a code, C channels, H height, W width, or
numbers of a row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.data import draws
from lichen.engine.modules import backend
from lichen.nets import generator

BATCH_SIZE = 256
HALF = 2.0**-25
"""Half the distance of two draws, so that none is 0."""
NUM_SETTLING = 32
"""Batches from which the running figures of averaged weights are taken anew."""


def require_generator(model: Model) -> None:
    """Refuses a model that draws no pictures.

    Raises:
        UsageError: it is none that `generate.gan` made.
    """
    if "num_codes" not in model.assets or "made_shape" not in model.assets:
        raise UsageError(f"a generator draws pictures; this is a model of `{model.net}`",
                         hint="generate.gan(data).generator")  # fmt: skip


def drawn(
    model: Model,
    targets_M: np.ndarray,
    *,
    seed: int,
    start: int = 0,
    truncation: float | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """uint8 (M, C, H, W): pictures of these classes.

    Args:
        start: the number of the first one; so a long draw can be made in parts.
        truncation: how far from 0 a number of a code may lie; less is more typical and less varied.
    """
    require_generator(model)
    module = backend.module_of(model).to(device)
    code_MZ = codes(len(targets_M), model.assets["num_codes"], seed=seed, start=start, truncation=truncation)
    return pictures(module, targets_M, code_MZ, len(model.assets["labels"]), device=device)


def pictures(
    module: nn.Module, targets_M: np.ndarray, code_MZ: np.ndarray, num_classes: int, *, device: str = "cpu"
) -> np.ndarray:
    """uint8 (M, C, H, W) of classes and codes."""
    found = _outputs(module, targets_M, code_MZ, num_classes, device)
    return np.concatenate([to_pixels(made).cpu().numpy() for made in found])


def cells(
    model: Model, targets_M: np.ndarray, *, seed: int, start: int = 0, truncation: float | None = None,
    device: str = "cpu",
) -> np.ndarray:  # fmt: skip
    """float32 (M, W): rows of a table of these classes, as numbers of its encoder; see `drawn`."""
    module, assets = backend.module_of(model).to(device), model.assets
    code_MZ = codes(len(targets_M), assets["num_codes"], seed=seed, start=start, truncation=truncation)
    found = _outputs(module, targets_M, code_MZ, len(assets["labels"]), device)
    return np.concatenate([made.float().cpu().numpy() for made in found])


def _outputs(
    module: nn.Module, targets_M: np.ndarray, code_MZ: np.ndarray, num_classes: int, device: str
) -> Iterator[Tensor]:
    """What a generator makes of classes and codes, some at a time."""
    with torch.inference_mode():
        for first in range(0, len(targets_M), BATCH_SIZE):
            some = slice(first, first + BATCH_SIZE)
            classes_BK = functional.one_hot(torch.from_numpy(np.array(targets_M[some])), num_classes).float()
            x_BZ = generator.codes(classes_BK, torch.from_numpy(code_MZ[some])).to(device)
            yield module(x_BZ)


def codes(
    count: int, length: int, *, seed: int, start: int = 0, truncation: float | None = None
) -> np.ndarray:
    """float32 (M, Z), normal, or normal between two ends.

    Paper: Marchesi 2017, section 3.3, and Brock et al. 2019, section 3.1, for the truncation.
    """
    rows_M, numbers_Z = np.arange(start, start + count), np.arange(length)
    uniform = draws.uniforms(rows_M, numbers_Z, seed=seed, epoch=0) + HALF
    low = (
        0.0
        if truncation is None
        else float(torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64)))
    )
    inside = torch.from_numpy(low + (1.0 - 2.0 * low) * uniform)
    return torch.special.ndtri(inside).float().numpy()


def to_pixels(x_BCHW: Tensor) -> Tensor:
    """-1 to 1 as uint8."""
    return ((x_BCHW.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_pixels_of(x_NCHW: np.ndarray) -> np.ndarray:
    """The same of arrays."""
    return to_pixels(torch.from_numpy(np.ascontiguousarray(x_NCHW))).numpy()


def from_pixels(x_BCHW: Tensor) -> Tensor:
    """uint8 as -1 to 1."""
    return x_BCHW.float() / 127.5 - 1.0


@torch.no_grad()
def settled(
    module: nn.Module, average: Mapping[str, Tensor], targets_N: Tensor, *, num_codes: int, num_classes: int,
    seed: int, batch_size: int,
) -> nn.Module:  # fmt: skip
    """A copy with averaged weights, in eval mode, its batch-norm figures taken of what these weights make.

    Args:
        targets_N: classes in the shares in which they are drawn.
    """
    copied = copy.deepcopy(module)
    copied.load_state_dict(average)
    norms = [layer for layer in copied.modules() if isinstance(layer, _BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # type: ignore[assignment]
    copied.train()
    source = torch.Generator().manual_seed(seed)
    for _ in range(NUM_SETTLING):
        chosen = targets_N[torch.randint(len(targets_N), (batch_size,), generator=source)]
        code_BZ = torch.randn(batch_size, num_codes, generator=source)
        classes_BK = functional.one_hot(chosen, num_classes).float()
        copied(generator.codes(classes_BK, code_BZ).to(next(copied.parameters()).device))
    for norm, momentum in zip(norms, usual):
        norm.momentum = momentum
    return copied.eval()
