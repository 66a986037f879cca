"""thin: keep a share of the train rows of some classes, to see what rare ones cost and what helps them."""

from __future__ import annotations

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import OptionError, UsageError, nearest
from lichen.core.schema import Seed
from lichen.core.step import step
from lichen.data import draws, manifest


@step(splits=("train",))
def thin(data: Dataset, *, shares: dict, seed: Seed = 0) -> Dataset:
    """Leaves rows of train out; validation and test stay as they are.

    Args:
        shares: of each class that is thinned, such as {"6": 0.02}; at least one row of a class is kept.

    Raises:
        OptionError: a class is none of the data's, or a share is not from 0 to 1.
        UsageError: rows may have several labels, or some are synthetic.
    """
    rows = data.rows("train")
    if rows.targets.ndim != 1 or data.num_synthetic:
        raise UsageError("rows to be thinned must be real and have one label each")
    for label, share in shares.items():
        if label not in data.labels:
            raise OptionError(f"`{label}` in option `shares` is no class", hint=nearest(label, data.labels))
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise OptionError(f"the share of `{label}` must be a number from 0 to 1, not {share!r}")
    hashes_N = draws.hashes(rows.ids.view(np.int64), seed=seed, epoch=0)
    kept = [_some(np.flatnonzero(rows.targets == number), hashes_N, shares.get(label, 1.0))
            for number, label in enumerate(data.labels)]  # fmt: skip
    return manifest.only(data, "train", np.sort(np.concatenate(kept)))


def _some(members: np.ndarray, hashes_N: np.ndarray, share: float) -> np.ndarray:
    """The rows of a class with the smallest hashes: a larger share keeps what a smaller one keeps."""
    count = max(1, round(share * len(members)))
    return members[np.argsort(hashes_N[members], kind="stable")[:count]]
