"""Rows that a step learns from have the level that was drawn, rare ones more often than they are there."""

import numpy as np
import torch

import lichen as li
from lichen.data import encoder
from lichen.engine.generation.asking import Table


def table(num_rows=1000):
    words = ["rare" if row % 50 == 0 else "often" for row in range(num_rows)]
    targets = np.arange(num_rows) % 3
    rows = li.table({"w": words, "x": [row + 0.5 for row in range(num_rows)]}, targets,
                    splits=["train"] * num_rows).rows("train")  # fmt: skip
    told = encoder.fitted(rows, is_way_back=True)
    return Table.of(
        torch.from_numpy(told.encode(rows.records)), torch.from_numpy(rows.targets.copy()), told, 3
    )


def test_a_row_has_the_level_that_was_asked_for():
    held = table()
    torch.manual_seed(0)
    asked = held.drawn(600)
    is_word = asked.column == 0
    assert torch.equal(asked.real[is_word, :2], asked.marks[is_word]) and not asked.marks[~is_word].any()
    assert 200 < int(is_word.sum()) < 400  # one column of two, by 600 even draws


def test_levels_come_by_the_logarithm_of_how_often_they_are_there():
    held = table()
    torch.manual_seed(0)
    asked = held.drawn(6000)
    found = asked.marks[asked.column == 0].mean(0)  # in the order of the words: often, rare
    expected = np.log1p([980, 20]) / np.log1p([980, 20]).sum()
    np.testing.assert_allclose(found.numpy(), expected, atol=0.06)


def test_shares_count_the_levels_of_each_class():
    held = table(300)
    counted = [[int(((held.y_N == k) & (held.x_NW[:, v] == 1)).sum()) for v in range(2)] for k in range(3)]
    np.testing.assert_allclose(held.shares().numpy(), counted, atol=1e-4)


def test_what_was_asked_for_and_is_not_there_costs():
    held = table()
    torch.manual_seed(0)
    asked = held.drawn(60)
    right = torch.zeros_like(asked.real)
    right[:, :2] = 20 * asked.marks
    assert float(held.missed(right, asked)) < 1e-3 < float(held.missed(-right, asked))
