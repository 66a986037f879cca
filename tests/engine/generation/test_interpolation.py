"""A row between two real ones lies between them in every number, and its levels are those of near rows."""

import numpy as np
import pytest

import lichen as li
from lichen.data import encoder
from lichen.engine.generation import interpolation, neighbours


def fitted(columns):
    num_rows = len(next(iter(columns.values())))
    data = li.table(columns, np.arange(num_rows) % 2, ["a", "b"], ["train"] * num_rows, duplicates="drop")
    return data.rows("train").records, encoder.fitted(data.rows("train"))


def between(columns, count, *, k=3, seed=0):
    records, told = fitted(columns)
    return records, interpolation.between(records, count, told, k=k, seed=seed)


@pytest.fixture(scope="module")
def plane():
    """Points of a plane, all numbers with a point."""
    draws = np.random.default_rng(0)
    return between({"x": draws.normal(size=20).tolist(), "y": (9 * draws.normal(size=20)).tolist()}, 60)


def test_each_lies_on_a_line_from_a_row_to_one_of_its_nearest(plane):
    records, made = plane
    points, found = (np.array([[row["x"], row["y"]] for row in rows]) for rows in (records, made))
    scaled = points / points.std(0)
    order = np.linalg.norm(scaled[:, None] - scaled[None], axis=2).argsort(1)[:, 1:4]
    ways = np.array([(points[row], points[near]) for row in range(len(points)) for near in order[row]])
    start, way = ways[:, 0], ways[:, 1] - ways[:, 0]
    for point in found:
        share = ((point - start) * way).sum(1) / (way * way).sum(1)
        off = np.linalg.norm(point - start - share[:, None] * way, axis=1)
        assert off[(share >= -1e-9) & (share <= 1 + 1e-9)].min() < 1e-6


def test_real_rows_come_in_turns_and_a_longer_draw_begins_with_a_shorter_one(plane):
    records, made = plane
    _, told = fitted({"x": [row["x"] for row in records], "y": [row["y"] for row in records]})
    assert interpolation.between(records, 7, told, k=3, seed=0) == made[:7]
    assert interpolation.between(records, 60, told, k=3, seed=1) != made
    assert len({tuple(row.values()) for row in made}) == 60


def test_levels_are_those_of_most_near_rows_and_whole_numbers_stay_whole():
    columns = {"n": [*range(0, 40, 2), *range(1000, 1040, 2)], "w": ["low"] * 20 + ["high"] * 20,
               "flag": [0, 1] * 20}  # fmt: skip
    _, made = between(columns, 80)
    assert all(type(row["n"]) is int and row["flag"] in (0, 1) for row in made)
    assert all(row["w"] == ("low" if row["n"] < 500 else "high") for row in made)


def test_a_tie_of_levels_goes_to_the_nearest():
    columns = {"x": [0.0, 1.0, 2.5, 40.0], "w": ["base", "near", "far", "other"]}
    _, told = fitted(columns)
    near = np.array([[1, 2], [2, 1], [3, 3]])
    (column,) = [one for one in told.columns if one.name == "w"]
    assert interpolation._levels(columns["w"], column, near) == ["near", "far", "other"]


def test_an_empty_end_leaves_the_base_as_it_is():
    columns = {"x": [1.5, None, 1.6, None, 1.4, 1.55], "y": [0.1, 0.2, 0.3, 0.25, 0.15, 0.12]}
    _, made = between(columns, 30, k=5)
    assert {row["x"] is None for row in made} == {True, False}
    assert all(row["x"] is None or 1.4 <= row["x"] <= 1.6 for row in made)


def test_the_nearest_others_are_those_by_hand(monkeypatch):
    points = np.random.default_rng(1).normal(size=(23, 3))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    monkeypatch.setattr(neighbours, "TABLE", 70)
    found = neighbours.around(points, np.array([5, 0, 22, 5]), 4)
    assert np.array_equal(found, apart.argsort(1)[[5, 0, 22, 5], :4])
