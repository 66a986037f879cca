"""An encoder gives the numbers that its columns say, of rows it has and has not seen."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError
from lichen.data import encoder, modes


def fitted(columns):
    num_rows = len(next(iter(columns.values())))
    return encoder.fitted(
        li.table(columns, np.arange(num_rows) % 2, splits=["train"] * num_rows).rows("train")
    )


def test_amounts_are_deviations_and_empty_cells_are_marked():
    values = [1.5, 2.5, None, 8.0]
    (amount,) = fitted({"x": values}).columns
    known = np.array([1.5, 2.5, 8.0])
    expected = [[(1.5 - known.mean()) / known.std(), 0], [(2.5 - known.mean()) / known.std(), 0], [0, 1],
                [(8 - known.mean()) / known.std(), 0]]  # fmt: skip
    np.testing.assert_allclose(amount.encode(values), expected, rtol=1e-6)


def test_few_whole_numbers_and_words_are_levels_and_an_unknown_word_is_none():
    told = fitted({"n": [3, 1, 2, 1], "w": ["b", "a", None, "b"]})
    assert [column.levels for column in told.columns] == [[1, 2, 3], ["a", "b", None]]
    rows = told.encode([{"n": 2, "w": "b"}, {"n": 9, "w": "z"}])
    assert rows.tolist() == [[0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]


def test_many_whole_numbers_are_amounts():
    assert fitted({"n": list(range(20))}).columns[0].kind == "amount"


def test_what_a_model_keeps_gives_the_same_numbers():
    columns = {"x": [0.5, 1.5, None], "w": ["a", "b", "a"]}
    told = fitted(columns)
    records = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    assert np.array_equal(encoder.of(told.asset()).encode(records), told.encode(records))


def test_a_word_among_numbers_and_a_column_of_names_are_refused():
    with pytest.raises(DataError, match="holds numbers, not 'many'"):
        fitted({"x": [0.5, 1.5]}).encode([{"x": "many"}])
    with pytest.raises(DataError, match="different words"):
        fitted({"name": [f"n{row}" for row in range(300)]})


def two_heaps(num_rows=400):
    draws = np.random.default_rng(1)
    return np.where(
        draws.random(num_rows) < 0.3, draws.normal(-50, 1, num_rows), draws.normal(20, 4, num_rows)
    )


def test_modes_are_where_the_numbers_lie_and_the_way_back_is_exact():
    values = [None if row % 50 == 0 else float(x) for row, x in enumerate(two_heaps())]
    column = modes.fitted("x", values)
    assert any(abs(mean + 50) < 1 for mean in column.means) and any(
        abs(mean - 20) < 4 for mean in column.means
    )
    assert column.means == sorted(column.means)
    x_NW = column.encode(values)
    assert x_NW.shape == (400, column.width) and (x_NW[:, 1:].sum(1) == 1).all() and np.abs(x_NW).max() <= 1
    found = column.decode(x_NW)
    assert [cell is None for cell in found] == [cell is None for cell in values]
    known = [(a, b) for a, b in zip(found, values, strict=True) if b is not None]
    np.testing.assert_allclose(*np.array(known).T, atol=1e-4)


def test_rows_become_cells_again_and_whole_numbers_stay_whole():
    columns = {"n": [int(x) for x in np.rint(two_heaps(200))], "w": ["a", "b", None, "c"] * 50}
    rows = li.table(columns, np.arange(200) % 2, splits=["train"] * 200, duplicates="drop").rows("train")
    told = encoder.fitted(rows, is_way_back=True)
    assert told.decode(told.encode(rows.records)) == rows.records
    assert encoder.of(told.asset()) == told


def test_what_is_made_lies_no_further_out_than_train_rows():
    column = modes.fitted("x", [float(x) for x in two_heaps()])
    far = np.ones((1, column.width))
    assert column.decode(far)[0] <= column.high and column.decode(-far)[0] >= column.low


@pytest.mark.parametrize("column", [{"kind": "other"}, {"kind": "levels", "name": "w"}, {"name": "w"}])
def test_a_damaged_encoder_is_refused(column):
    with pytest.raises(DataError, match="damaged"):
        encoder.of([column])
