"""calibrate: confidences become as high as answers are right, and no answer changes.

One temperature, fitted on validation, divides the outputs; it is folded into the last layer, so that every
export has it and nothing is slower.
Paper: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.step import step
from lichen.engine import answer, backend, metrics, supervised
from lichen.engine.task import task_of

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures: where every answer is right, the best one would be 0."""
NUM_NEWTON = 60
NUM_PROBED = 8


@step(splits=("validation",))
def calibrate(model: Model, data: Dataset, *, run: Run) -> Model:
    """Divides a classifier's outputs by the temperature at which validation is likeliest.

    Raises:
        UsageError: the data has no validation rows, or no linear layer gives the outputs.
    """
    task_of(model.task).check(data, "validation")
    rows = data.rows("validation")
    images = supervised.pixels(rows, model.assets["image_shape"])
    outputs_NK = answer.logits(model, images, device=run.device)
    temperature = fitted(outputs_NK, rows.targets)
    module = model.torch().eval()
    head = _head(module, torch.from_numpy(outputs_NK[:NUM_PROBED]), task_inputs(model, images[:NUM_PROBED]))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.div_(temperature)
    before, after = (_error(outputs_NK / heat, rows.targets) for heat in (1.0, temperature))
    run.emit("note", text=f"temperature {temperature:.3f}: calibration error {before:.4f} -> {after:.4f}")
    return model.with_weights(backend.arrays_of(module))


def fitted(outputs_NK: np.ndarray, targets_N: np.ndarray) -> float:
    """The temperature of least log loss, which is convex in its inverse: by Newton's method."""
    z_NK = outputs_NK.astype(np.float64)
    chosen_N = z_NK[np.arange(len(z_NK)), targets_N]
    inverse = 1.0
    for _ in range(NUM_NEWTON):
        p_NK = metrics.softmax(inverse * z_NK)
        mean_N = (p_NK * z_NK).sum(1)
        slope, bend = (mean_N - chosen_N).mean(), ((p_NK * z_NK**2).sum(1) - mean_N**2).mean()
        step = np.clip(slope / max(bend, 1e-12), -inverse, inverse / 2)  # at most twice, and half, as hot
        moved = float(np.clip(inverse - step, 1.0 / HOTTEST, 1.0 / COLDEST))
        if abs(moved - inverse) < 1e-9 * inverse:
            break
        inverse = moved
    return 1.0 / inverse


def _error(outputs_NK: np.ndarray, targets_N: np.ndarray) -> float:
    p_NK = metrics.softmax(outputs_NK)
    is_right_N = (p_NK.argmax(1) == targets_N).astype(np.float64)
    return metrics.calibration_error(p_NK.max(1), is_right_N)["value"]


def task_inputs(model: Model, images_BCHW: np.ndarray) -> torch.Tensor:
    """What the model's task makes of pixels."""
    return task_of(model.task).inputs(torch.from_numpy(np.array(images_BCHW)), model.assets)


@torch.no_grad()
def _head(module: nn.Module, outputs_BK: torch.Tensor, inputs: torch.Tensor) -> nn.Linear:
    """The linear layer that gives the outputs: twice its weights are twice the outputs.

    Raises:
        UsageError: there is none.
    """
    for layer in reversed([one for one in module.modules() if isinstance(one, nn.Linear)]):
        if layer.out_features != outputs_BK.shape[1]:
            continue
        for parameter in layer.parameters():
            parameter.mul_(2.0)
        doubled_BK = module(inputs).float()
        for parameter in layer.parameters():
            parameter.mul_(0.5)
        if torch.allclose(doubled_BK, 2.0 * outputs_BK, rtol=1e-3, atol=1e-3 * float(outputs_BK.abs().max())):
            return layer
    raise UsageError(
        "a linear layer must give the outputs of a net that is calibrated; this one has none",
        hint="a net whose last layer is nn.Linear",
    )
