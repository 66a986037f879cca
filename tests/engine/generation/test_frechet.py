"""The Frechet distance is the closed form of Gaussians, and that of scipy's root of a matrix."""

import numpy as np
import pytest

from lichen.engine.generation import frechet


def features(num_rows, mean_F, spread_FF, seed=0):
    """Rows whose mean and covariance are exactly these."""
    draws = np.random.default_rng(seed).normal(size=(num_rows, len(mean_F)))
    draws -= draws.mean(0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    return white @ np.linalg.cholesky(spread_FF).T + mean_F


def test_gaussians_along_the_axes_have_their_closed_form():
    means, scales = (
        np.array([[0.0, 1.0, -2.0], [0.5, 1.0, 3.0]]),
        np.array([[1.0, 2.0, 0.5], [3.0, 1.0, 0.5]]),
    )
    one, two = (
        features(200, mean, np.diag(scale**2), seed) for seed, (mean, scale) in enumerate(zip(means, scales))
    )
    wanted = ((means[0] - means[1]) ** 2).sum() + ((scales[0] - scales[1]) ** 2).sum()
    assert frechet.distance(one, two) == pytest.approx(wanted, rel=1e-9)


def test_it_is_that_of_the_root_of_the_product():
    linalg = pytest.importorskip("scipy.linalg")
    draws = np.random.default_rng(1)
    one, two = draws.normal(size=(300, 20)) @ draws.normal(size=(20, 20)), draws.gamma(2.0, size=(250, 20))
    spreads = [np.cov(rows.T) for rows in (one, two)]
    root = linalg.sqrtm(spreads[0] @ spreads[1]).real
    wanted = ((one.mean(0) - two.mean(0)) ** 2).sum() + np.trace(sum(spreads) - 2 * root)
    assert frechet.distance(one, two) == pytest.approx(wanted, rel=1e-8)


def test_fewer_rows_than_features_have_a_distance_and_none_to_themselves():
    rows = np.random.default_rng(2).normal(size=(10, 40)).astype("float32")
    assert abs(frechet.distance(rows, rows)) < 1e-5 * np.trace(np.cov(rows.T))
    assert np.isfinite(frechet.distance(rows, rows[:5] + 1))


@pytest.mark.parametrize(("num_rows", "num_others"), [(10, 30), (39, 25), (2, 2)])
def test_of_few_rows_it_is_what_their_moments_give(num_rows, num_others):
    draws = np.random.default_rng(3)
    mixed = draws.normal(size=(40, 40))
    one, two = draws.normal(size=(num_rows, 40)) @ mixed, draws.gamma(2.0, size=(num_others, 40)) @ mixed
    wanted = frechet.of_moments(*frechet.moments(one), *frechet.moments(two))
    assert frechet.distance(one, two) == pytest.approx(wanted, rel=1e-6)
