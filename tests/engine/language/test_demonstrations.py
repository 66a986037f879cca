"""Demonstrations are the same rows in every order, and every number is an order of its own."""

import math

import pytest

import lichen as li
from lichen.engine.language import demonstrations


@pytest.fixture(scope="module")
def data():
    words = [f"text {number}" for number in range(12)]
    return li.texts(words, [number % 2 for number in range(12)], ["no", "yes"], ["train"] * 12)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_numbers_are_different_orders_of_the_same_rows_until_all_are_told(data, count):
    total = math.factorial(count)
    told = [
        [one.text for one in shown]
        for shown in (
            demonstrations.chosen(data, count, is_balanced=True, order=order, seed=3)
            for order in range(total + 1)
        )
    ]
    assert len({tuple(rows) for rows in told[:-1]}) == total and told[-1] == told[0]
    assert all(sorted(rows) == sorted(told[0]) for rows in told)
