"""attribution: which pixels spoke for an output: integrated gradients, computed by captum.

Paper: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", equation 1. The path starts at
the mean picture, which is zero to the net; what pixels are given adds up to what the output gains on the way.

Shapes: B rows, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import UsageError, missing_package
from lichen.core.model import Model
from lichen.engine.modules import macs
from lichen.engine.task import task_of
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution

NUM_STEPS = 32
"""Points of the Gauss-Legendre rule: residual nets of pictures of 32 pixels add up to a few percent."""
BUDGET_MACS = 3e11
"""About ten seconds of a core. Nothing is timed: equal models give equal pictures."""
PASSES = 3
"""A gradient costs about twice what an answer does, beside it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attribution:
    """What each pixel gave: `pixels` float32 (B, H, W); `gain` (B,) is what the output gained.

    Args:
        error: the largest share of a gain that the pixels miss it by.
    """

    pixels: np.ndarray
    gain: np.ndarray
    error: float


def affordable(model: Model) -> int:
    """How many outputs of rows can be explained within the budget."""
    work = macs.count(model.torch(), model.assets["image_shape"])
    return int(BUDGET_MACS // max(1, PASSES * NUM_STEPS * work))


def integrated(model: Model, images_BCHW: np.ndarray, outputs: Sequence[int]) -> Attribution:
    """What the pixels of each row gave to one of its outputs, over the mean of all outputs.

    Args:
        images_BCHW: uint8, in the shape that the model takes.
        outputs: the place of the output per row.

    Raises:
        MachineError: captum is not installed.
        UsageError: no gradient passes the net.
    """
    explainers, module = _library(), model.torch().requires_grad_(False)
    x_BCHW = task_of(model.task).inputs(torch.from_numpy(np.array(images_BCHW)), model.assets)

    def over_mean(x_BCHW: Tensor) -> Tensor:
        z_BK = module(x_BCHW).float()
        return z_BK - z_BK.mean(1, keepdim=True)

    chosen_B = torch.as_tensor(list(outputs))
    try:
        with execution.in_force(Execution(), "cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given_BCHW = explainers.IntegratedGradients(over_mean).attribute(
                x_BCHW, baselines=torch.zeros_like(x_BCHW[:1]), target=chosen_B, n_steps=NUM_STEPS,
                internal_batch_size=max(len(x_BCHW), NUM_STEPS),
            )  # fmt: skip
            with torch.no_grad():
                ends_BK = over_mean(x_BCHW) - over_mean(torch.zeros_like(x_BCHW[:1]))
    except RuntimeError as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"no gradient passes the net `{model.net}`: {said}") from error
    gain_B = ends_BK.gather(1, chosen_B[:, None])[:, 0]
    missed_B = (given_BCHW.flatten(1).sum(1) - gain_B).abs() / gain_B.abs().clamp(min=1e-6)
    return Attribution(
        pixels=given_BCHW.sum(1).float().numpy(), gain=gain_B.numpy(), error=float(missed_B.max())
    )


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import captum.attr
    except ImportError:
        raise missing_package("captum", "explain") from None
    return captum.attr
