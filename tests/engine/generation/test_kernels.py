"""The kernel distance is that of all pairs, and is nothing on average where nothing differs."""

import numpy as np
import pytest

from lichen.engine.generation import kernels


def test_it_is_the_sum_over_pairs_of_different_rows():
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(7, 3)), draws.normal(size=(5, 3)) + 0.5

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    within = [
        np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]) for z in (x, y)
    ]
    between = np.mean([k(a, b) for a in x for b in y])
    assert kernels.distance(x, y) == pytest.approx(sum(within) - 2 * between)


def test_it_is_without_bias_where_its_diagonal_would_add_one():
    draws = np.random.default_rng(1)
    found = [kernels.distance(*draws.normal(size=(2, 20, 4))) for _ in range(400)]
    error = np.std(found) / 20
    assert abs(np.mean(found)) < 3 * error
    biased = [kernels.kernel(x, x).mean() + kernels.kernel(y, y).mean() - 2 * kernels.kernel(x, y).mean()
              for x, y in draws.normal(size=(400, 2, 20, 4))]  # fmt: skip
    assert np.mean(biased) > 10 * error, "a planted bias is seen"
