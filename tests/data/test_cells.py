"""Some rows of a group are what all have at these places, and what a row lacks is named by its place."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lichen.core.errors import DataError
from lichen.data import cells, png
from lichen.data.columnar import Table

NUM_ROWS, GROUP = 7, 4
PICTURES = [png.encode(np.full((1, 2, 3), 30 * row, np.uint8)) for row in range(NUM_ROWS)]
COLUMNS = {
    "text": [f"moss {row}" for row in range(NUM_ROWS)], "told": [f"Moos {row}" for row in range(NUM_ROWS)],
    "image": PICTURES, "held": [{"bytes": one, "path": None} for one in PICTURES],
    "age": [None if row == 2 else row / 2 for row in range(NUM_ROWS)], "town": ["Bonn", " Ulm "] * 3 + [""],
    "prompt": ["how?"] * NUM_ROWS, "answer": [f"so {row}" for row in range(NUM_ROWS)],
}  # fmt: skip
ROLES = [
    {"text": "text"}, {"text": "text", "target": "told"}, {"image": "image"}, {"image": "held"},
    {"features": '["age","town"]'}, {"prompt": "prompt", "answer": "answer"},
]  # fmt: skip


def written(folder, columns):
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=GROUP)
    return Table.open(folder / "t.parquet")


@pytest.mark.parametrize("roles", ROLES, ids=str)
def test_some_rows_are_those_of_all_at_their_places(tmp_path, roles):
    table = written(tmp_path, COLUMNS)
    groups = [np.arange(GROUP), np.arange(NUM_ROWS - GROUP)]
    every = [cells.some(table, group, rows, roles) for group, rows in enumerate(groups)]
    assert len({one for group in every for one in group}) >= NUM_ROWS - 1
    for group, place in ((0, [2, 0, 2]), (1, [1]), (1, [])):
        found = cells.some(table, group, np.array(place, np.int64), roles)
        assert [bytes(one) for one in found] == [bytes(every[group][row]) for row in place]


def test_a_row_of_cells_has_them_in_the_order_of_its_columns(tmp_path):
    table = written(tmp_path, COLUMNS)
    first = cells.some(table, 0, np.arange(3), {"features": '["town","age"]'})
    assert first == [b'{"town":"Bonn","age":0}', b'{"town":"Ulm","age":0.5}', b'{"town":"Bonn","age":null}']


@pytest.mark.parametrize("roles", [{"text": "text"}, {"features": '["age"]'}], ids=str)
def test_a_table_that_became_shorter_is_told(tmp_path, roles):
    with pytest.raises(DataError, match="fewer rows than it had"):
        cells.some(written(tmp_path, COLUMNS), 1, np.array([NUM_ROWS - GROUP]), roles)


@pytest.mark.parametrize(
    ("column", "held", "roles", "words"),
    [("text", ["a"] * 5 + [None], {"text": "text"}, "must hold its text"),
     ("image", PICTURES[:5] + [None], {"image": "image"}, "must hold its picture"),
     ("image", PICTURES[:5] + [b""], {"image": "image"}, "must hold its picture"),
     ("age", [1.0] * 5 + [float("inf")], {"features": '["age"]'}, "must be a number or a word")],
)  # fmt: skip
def test_what_a_row_lacks_is_named_by_its_row_in_the_file(tmp_path, column, held, roles, words):
    table = written(tmp_path, {column: held})
    with pytest.raises(DataError, match=words) as caught:
        cells.some(table, 1, np.arange(2), roles)
    assert "t.parquet, row 5" in caught.value.where


def test_a_column_of_another_kind_is_refused(tmp_path):
    table = written(tmp_path, COLUMNS)
    with pytest.raises(DataError, match="`age` must hold texts, not double"):
        cells.some(table, 0, np.arange(2), {"text": "age"})
    with pytest.raises(DataError, match="`age` must hold encoded pictures, not double"):
        cells.some(table, 0, np.arange(2), {"image": "age"})
