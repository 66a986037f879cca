"""A planted copier is flagged; who makes new rows is not, be they typical or far off."""

import numpy as np
import pytest

from lichen.engine.generation import memorization


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
    assert found.area["value"] >= 0.95 and found.is_flagged
    healthy = memorization.asked(train, held, rows(300, 2))
    assert healthy.area["low"] < 0.5 < healthy.area["high"] and not healthy.is_flagged


def test_a_copier_of_many_rows_is_flagged_beside_few_that_were_held_back():
    """A planted test that compares as few train rows as were held back would find next to no copies."""
    train, held = rows(4000, 0), rows(100, 1)
    found = memorization.asked(train, held, copies(train, 300))
    assert found.area["value"] >= 0.95 and found.is_flagged
    assert (np.linalg.norm(train[found.nearest] - copies(train, 300), axis=1) < 0.5).all()
    healthy = [memorization.asked(train, held, rows(300, seed)) for seed in range(2, 12)]
    assert not any(one.is_flagged for one in healthy)
    assert np.mean([one.area["value"] for one in healthy]) == pytest.approx(0.5, abs=0.12)


def test_few_made_rows_are_no_proof():
    """One real row in a hundred is held back: that none of 30 made rows is nearest to it is chance."""
    train, held = rows(1000, 0), rows(10, 1)
    found = memorization.asked(train, held, copies(train, 30))
    assert found.area["value"] == 1.0 and not found.is_flagged


def test_many_rows_near_one_real_row_know_no_more_than_one():
    assert memorization.effective(np.array([4, 4, 4, 4])) == 1.0
    assert memorization.effective(np.array([1, 2, 3, 9])) == 4.0
    train, held = rows(50, 0), rows(50, 1)
    found = memorization.asked(train, held, np.repeat(train[:1] + 0.01, 200, 0))
    assert found.area["value"] == 1.0 and not found.is_flagged


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
    assert found.area["value"] == pytest.approx(0.65, abs=0.06) and found.is_flagged


def test_ties_count_half():
    assert memorization.nearer(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])) == 0.5
