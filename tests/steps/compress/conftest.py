"""conftest: a small set that small nets learn."""

import numpy as np
import pytest

from lichen.data import arrays


@pytest.fixture(scope="session")
def stripes():
    """Three classes by the direction of stripes, over noise; told apart with room to spare on any machine."""
    draws = np.random.Generator(np.random.Philox(1))
    targets = np.arange(600) % 3
    y, x = np.mgrid[:8, :8]
    stripes = np.stack([x % 2, y % 2, (x + y) % 2])[targets]
    images = 120 * stripes[:, None] + draws.integers(0, 120, (600, 1, 8, 8))
    return arrays.arrays(images.astype("uint8"), targets, labels=["a", "b", "c"])
