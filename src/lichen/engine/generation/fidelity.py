"""fidelity: how well made pictures stand for real ones, in the features of a net that is known by its digest.

Nothing is downloaded: any classifier of the store serves, and figures by one net say nothing about figures by
another. Each has the interval of a jackknife over groups of rows (Tukey 1958): rows are only ever left out,
for rows drawn twice have neighbours at no distance.

Shapes: N real rows, M made rows, C channels, H height, W width, F features.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.engine.generation import frechet, kernels, neighbours
from lichen.engine.modules import backend
from lichen.engine.scores import metrics
from lichen.engine.scores.intervals import student_quantile
from lichen.engine.scores.metrics import Figure
from lichen.engine.task import task_of
from lichen.engine.training import memory

GROUPS = 10
BATCH_SIZE = 500
SHARE = (0.0, 1.0)
BOUNDS = {"fid": (0.0, np.inf), "precision": SHARE, "recall": SHARE, "density": (0.0, np.inf),
          "coverage": SHARE}  # fmt: skip
"""Ends of what a figure can be; the kernel distance may fall below 0."""
Rows = np.ndarray
"""Numbers of rows that a figure is of."""


def features(model: Model, pixels_NCHW: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """float32 (N, F): what the model's head is given.

    Raises:
        UsageError: its net has no `features`, or takes pictures of another shape.
    """
    if list(pixels_NCHW.shape[1:]) != list(model.assets["image_shape"]):
        raise UsageError(f"features are asked of a model that takes {model.assets['image_shape']}; "
                         f"the pictures are of {list(pixels_NCHW.shape[1:])}")  # fmt: skip
    module, task = backend.module_of(model).to(device), task_of(model.task)
    if not hasattr(module, "features"):
        raise UsageError(f"net `{model.net}` has no `features`", hint="a file of nets/ has")
    parts = []
    with memory.kept(), torch.inference_mode():
        for start in range(0, len(pixels_NCHW), BATCH_SIZE):
            x_BCHW = torch.from_numpy(np.array(pixels_NCHW[start : start + BATCH_SIZE])).to(device)
            found: torch.Tensor = module.features(task.inputs(x_BCHW, model.assets))  # type: ignore[operator]
            parts.append(found.flatten(1).float().cpu())
    return torch.cat(parts).numpy()


def figures(real_NF: np.ndarray, made_MF: np.ndarray) -> dict[str, Figure]:
    """FID, KID, precision, recall, density and coverage, each with its interval.

    FID depends on the number of rows: compare only figures of equally many.

    Raises:
        DataError: there are too few rows to form groups of.
    """
    fewest = GROUPS * (neighbours.NEAREST + 1)
    if min(len(real_NF), len(made_MF)) < fewest:
        raise DataError(f"there must be {fewest} rows of each side; there are {len(real_NF)} real and "
                        f"{len(made_MF)} made ones")  # fmt: skip
    pairs = ((real_NF, real_NF), (made_MF, made_MF), (real_NF, made_MF))
    similar = [kernels.kernel(*pair) for pair in pairs]
    apart = [neighbours.distances(*pair) for pair in pairs]

    def measured(real: Rows, made: Rows) -> dict[str, float]:
        places = (np.ix_(real, real), np.ix_(made, made), np.ix_(real, made))
        return {
            "fid": frechet.distance(real_NF[real], made_MF[made]),
            "kid": kernels.of_kernels(*(table[place] for table, place in zip(similar, places, strict=True))),
            **neighbours.figures(*(table[place] for table, place in zip(apart, places, strict=True))),
        }

    return jackknifed(measured, len(real_NF), len(made_MF))


def jackknifed(
    measured: Callable[[Rows, Rows], dict[str, float]], num_real: int, num_made: int
) -> dict[str, Figure]:
    """Figures of all rows, with intervals from leaving out each of some groups of both sides."""
    real, made = np.arange(num_real), np.arange(num_made)
    whole = measured(real, made)
    parts = [measured(real[real % GROUPS != group], made[made % GROUPS != group]) for group in range(GROUPS)]
    quantile = student_quantile(0.5 + metrics.LEVEL / 2, GROUPS - 1)
    found = {}
    for name, value in whole.items():
        values_G = np.array([part[name] for part in parts])
        reach = quantile * float(np.sqrt((GROUPS - 1) * values_G.var()))
        low, high = BOUNDS.get(name, (-np.inf, np.inf))
        found[name] = {"value": value, "low": max(low, value - reach), "high": min(high, value + reach),
                       "level": metrics.LEVEL}  # fmt: skip
    return found
