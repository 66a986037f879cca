"""sheets: made pictures side by side: samples, ways from one to another, and the real rows nearest to them.

Shapes: M pictures, C channels, H height, W width, Z numbers of a code.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from lichen.core.model import Model
from lichen.engine.generation import generating
from lichen.engine.modules import backend

PER_CLASS = 5
"""Lines of samples; a column for each class."""
MOST_CLASSES = 10
NUM_STEPS = 10
"""Pictures on the way from one code to another."""


def grid(pixels_MCHW: np.ndarray, num_columns: int) -> np.ndarray:
    """uint8 (C, lines * H, num_columns * W): pictures in lines, which they must fill."""
    lines = pixels_MCHW.reshape(-1, num_columns, *pixels_MCHW.shape[1:])
    return np.concatenate([np.concatenate(list(line), 2) for line in lines], 1)


def classes(num_classes: int, num_lines: int) -> np.ndarray:
    """int64: the classes of a sheet, line by line."""
    return np.tile(np.arange(min(MOST_CLASSES, num_classes)), num_lines)


def samples(module: nn.Module, num_codes: int, num_classes: int, *, seed: int) -> np.ndarray:
    """PER_CLASS pictures of every class, by the same codes whatever the generator has learnt."""
    targets = classes(num_classes, PER_CLASS)
    codes = generating.codes(len(targets), num_codes, seed=seed)
    pixels = generating.pictures(module, targets, codes, num_classes)
    return grid(pixels, min(MOST_CLASSES, num_classes))


def interpolation(model: Model, *, seed: int) -> np.ndarray:
    """A line for each class, from one code to another on the circle between them."""
    labels, length = model.assets["labels"], model.assets["num_codes"]
    targets = np.repeat(np.arange(min(MOST_CLASSES, len(labels))), NUM_STEPS)
    ends = generating.codes(2 * (len(targets) // NUM_STEPS), length, seed=seed).reshape(-1, 2, 1, length)
    angle = np.linspace(0.0, np.pi / 2, NUM_STEPS, dtype=np.float32)[:, None]
    codes = np.cos(angle) * ends[:, 0] + np.sin(angle) * ends[:, 1]  # of normal codes all are normal
    pixels = generating.pictures(backend.module_of(model), targets, codes.reshape(-1, length), len(labels))
    return grid(pixels, NUM_STEPS)


def beside(made_MCHW: np.ndarray, real_MCHW: np.ndarray) -> np.ndarray:
    """A line of made pictures above a line of what belongs to each."""
    return grid(np.concatenate([made_MCHW, real_MCHW]), len(made_MCHW))
