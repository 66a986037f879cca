"""Distances of tables are those of the books, nothing between equal rows, and large where a column is off."""

import numpy as np
import pytest

import lichen as li
from lichen.data import encoder
from lichen.engine.generation import likeness


def numbers(num_rows=300, seed=0):
    draws = np.random.default_rng(seed)
    return draws.normal(size=(num_rows, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 1.0]])


def test_the_steepest_difference_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    left, right = np.random.default_rng(0).normal(size=200), np.random.default_rng(1).normal(0.5, 2, 150)
    assert likeness.steepest(left, right) == pytest.approx(stats.ks_2samp(left, right).statistic)


def test_shares_of_levels_differ_by_the_total_variation():
    left, right = np.eye(3)[[0, 0, 1, 2]], np.eye(3)[[0, 1, 1, 1]]
    assert likeness.varied(left, right) == pytest.approx(0.5)


def test_equal_rows_are_at_no_distance_and_lost_correlations_are_found():
    x = numbers()
    assert likeness.correlation_distance(x, x) == 0.0
    alone = np.stack(
        [np.random.default_rng(place).permutation(column) for place, column in enumerate(x.T)], 1
    )
    assert likeness.correlation_distance(x, alone) > 0.2 > likeness.correlation_distance(x, numbers(seed=1))


def test_a_column_that_is_off_is_named_and_the_interval_holds_the_figure():
    columns = {"a": numbers()[:, 0].tolist(), "w": ["x", "y", "y"] * 100}
    rows = li.table(columns, np.arange(300) % 2, splits=["train"] * 300).rows("train")
    told = encoder.fitted(rows)
    real = told.encode(rows.records)
    made = real.copy()
    made[:, 0] += 3.0
    found = likeness.marginals(real, made, told)
    assert found["a"] > 0.8 and found["w"] == 0.0
    for figure in likeness.figures(real, made, told).values():
        assert figure["low"] <= figure["value"] <= figure["high"]
