"""A planted copier is flagged; who makes new rows is not, be they typical or far off."""

import numpy as np
import pytest

from lichen.engine import memorization


def rows(num_rows, seed):
    """Clusters, as classes of pictures are."""
    draws = np.random.default_rng(seed)
    return draws.integers(0, 5, (num_rows, 1)) * 3.0 + draws.normal(size=(num_rows, 12))


def copies(train, num_rows, noise=0.05):
    draws = np.random.default_rng(5)
    chosen = train[draws.integers(0, len(train), num_rows)]
    return chosen + noise * draws.normal(size=chosen.shape)


def test_a_copier_is_flagged_with_an_area_near_one_and_new_rows_are_not():
    train, held = rows(300, 0), rows(200, 1)
    half = copies(train[:200], 300)
    found = memorization.asked(train[:200], held, half)
    assert found.auc["value"] >= 0.95 and found.is_flagged
    healthy = memorization.asked(train, held, rows(300, 2))
    assert abs(healthy.auc["value"] - 0.5) < 0.06 and not healthy.is_flagged


def test_typical_and_poor_rows_are_no_copies():
    train, held = rows(200, 0), rows(200, 1)
    draws = np.random.default_rng(3)
    typical = draws.integers(0, 5, (300, 1)) * 3.0 + 0.2 * draws.normal(size=(300, 12))
    for made in (typical, 20 + 5 * draws.normal(size=(300, 12))):
        assert not memorization.asked(train, held, made).is_flagged


def test_a_share_of_copies_moves_the_area_by_half_of_it():
    train, held = rows(200, 0), rows(200, 1)
    mixed = np.concatenate([copies(train, 90), rows(210, 2)])
    found = memorization.asked(train, held, mixed)
    assert found.auc["value"] == pytest.approx(0.65, abs=0.05) and found.is_flagged
    assert (found.ratio[:90] < 0.3).all() and (found.ratio[90:] > 0.3).all()


def test_the_area_is_that_of_all_pairs():
    near, far = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0])
    pairs = [(a < b) + 0.5 * (a == b) for a in near for b in far]
    assert memorization.auc(near, far) == pytest.approx(np.mean(pairs))
