"""calibration: the train rows that ranges are measured on."""

from __future__ import annotations

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.data import draws
from lichen.engine.inputs import feeds
from lichen.engine.training import supervised


def calibration(data: Dataset, model: Model, num_rows: int, seed: int) -> np.ndarray:
    """(N, ...) train rows as the net is asked about them, the first by a hash of (seed, row)."""
    rows = feeds.rows_of(data, "train", model.assets)
    order = np.argsort(draws.hashes(rows.ids.view(np.int64), seed=seed, epoch=0), kind="stable")
    return rows.batch(np.sort(order[:num_rows]), supervised.size_of(rows, model.assets))
