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
from lichen.core.protocols import Task
from lichen.core.step import step
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.scores import temperature
from lichen.engine.task import task_of
from lichen.engine.training import supervised

NUM_PROBED = 8


@step(splits=("validation",))
def calibrate(model: Model, data: Dataset, *, run: Run) -> Model:
    """Divides a classifier's outputs by the temperature at which validation is likeliest.

    Raises:
        UsageError: the data has no validation rows, no linear layer gives the outputs, or answers of this
            task depend on how hot they are.
    """
    task = task_of(model.task)
    task.check(data, "validation")
    rows = feeds.rows_of(data, "validation", model.assets)
    asked = supervised.whole(rows, model.assets)
    outputs_NK = answer.logits(model, asked, device=run.device)
    _require_steady(task, outputs_NK, rows.targets)
    heat = temperature.fitted(outputs_NK, rows.targets, task.loss)
    module = model.torch().eval()
    head = _head(module, task_inputs(model, asked[:NUM_PROBED]))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.div_(heat)
    before, after = (_error(task, outputs_NK / one, rows.targets) for one in (1.0, heat))
    run.emit("note", text=f"temperature {heat:.3f}: {before} -> {after}")
    return model.with_weights(backend.arrays_of(module))


def _require_steady(task: Task, outputs_NK: np.ndarray, targets: np.ndarray) -> None:
    """Refuses a task whose answers are not the same at every temperature."""
    z_NK = outputs_NK.astype(np.float64)
    told = [task.score(z_NK / heat, targets)[1]["answer"].numpy()
            for heat in (1.0, temperature.COLDEST, temperature.HOTTEST)]  # fmt: skip
    if not all(np.array_equal(told[0], other) for other in told[1:]):
        raise UsageError(f"a temperature changes answers of {task.name}, so it cannot be calibrated so")


def _error(task: Task, outputs_NK: np.ndarray, targets: np.ndarray) -> str:
    figures, _ = task.score(outputs_NK, targets)
    name = "calibration_error" if "calibration_error" in figures else task.headline
    return f"{name} {figures[name]['value']:.4f}"


def task_inputs(model: Model, rows: np.ndarray) -> torch.Tensor:
    """What the model's task makes of rows as they are asked about."""
    return task_of(model.task).inputs(torch.from_numpy(np.array(rows)), model.assets)


@torch.no_grad()
def _head(module: nn.Module, inputs: torch.Tensor) -> nn.Linear:
    """The linear layer that gives the outputs: twice its weights are twice the outputs.

    Raises:
        UsageError: there is none.
    """
    outputs_BK = module(inputs).float()
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
