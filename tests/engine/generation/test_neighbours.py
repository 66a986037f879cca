"""Density and coverage have their expectations; lost modes and strays are told apart."""

import numpy as np
import pytest

from lichen.engine.generation import neighbours


def figures(real, made, k=5):
    pairs = ((real, real), (made, made), (real, made))
    return neighbours.figures(*(neighbours.distances(*pair) for pair in pairs), k)


def test_rows_of_one_distribution_have_the_expected_density_and_coverage():
    draws = np.random.default_rng(0)
    found = [figures(*draws.normal(size=(2, 200, 2))) for _ in range(40)]
    assert np.mean([one["density"] for one in found]) == pytest.approx(1.0, abs=0.05)
    assert np.mean([one["coverage"] for one in found]) == pytest.approx(1 - 0.5**5, abs=0.015)


def test_a_lost_mode_costs_recall_and_coverage_and_strays_cost_precision_and_density():
    draws = np.random.default_rng(1)
    modes = np.repeat([[0.0] * 4, [9.0] * 4], 100, 0)
    real, again = (modes + draws.normal(size=(200, 4)) for _ in range(2))
    collapsed = draws.normal(size=(200, 4))
    lost = figures(real, collapsed)
    assert lost["coverage"] < 0.55 and lost["recall"] < 0.6 and lost["precision"] > 0.9
    strays = figures(real, np.concatenate([again[::2], 30 + draws.normal(size=(100, 4))]))
    assert strays["precision"] < 0.55 and strays["density"] < 0.6 and strays["recall"] > 0.8


def test_the_nearest_is_found_in_chunks_as_by_hand(monkeypatch):
    draws = np.random.default_rng(2)
    left, right = draws.normal(size=(30, 5)), draws.normal(size=(11, 5))
    apart = np.linalg.norm(left[:, None] - right[None], axis=2)
    monkeypatch.setattr(neighbours, "TABLE", 80)
    rows, found = neighbours.nearest(left, right)
    assert np.array_equal(rows, apart.argmin(1)) and found == pytest.approx(apart.min(1))
    within = np.sort(np.linalg.norm(right[:, None] - right[None], axis=2), 1)
    assert neighbours.radii(neighbours.distances(right, right), 1) == pytest.approx(within[:, 1])
    assert neighbours.reach(right[::3], right, 2) == pytest.approx(within[::3, 2])
