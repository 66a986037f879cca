"""A label is the same class however a table says it: a word, a number, a list, or marks."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lichen.core.errors import DataError
from lichen.data.columnar import Table
from lichen.data.says import Says

CLASSES = ["bark", "moss", "stone"]
FEATURES = {"declared": {"_type": "ClassLabel", "names": CLASSES},
            "lists": {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": CLASSES}}}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """Four rows in two groups; every column says the same of them, as far as it can."""
    cells = {
        "word": ["moss", "bark", "moss", "stone"], "declared": [1, 0, 1, 2],
        "lists": [[1], [0], [1], [2]], "joined": ["moss", "bark", "moss", "stone"],
        "bark": [0, 1, 0, 0], "moss": [1, 0, 1, 0], "stone": [False, False, False, True],
    }  # fmt: skip
    return written(tmp_path, cells)


def written(folder, cells):
    import json

    arrow = pa.table(cells)
    told = json.dumps({"info": {"features": {name: FEATURES[name] for name in FEATURES if name in cells}}})
    pq.write_table(arrow.replace_schema_metadata({"huggingface": told}), folder / "t.parquet",
                   row_group_size=2)  # fmt: skip
    return Table.open(folder / "t.parquet")


def labels(says, table):
    return [label for group in range(len(table.starts)) for label in says.labels(table, group)]


def test_every_way_to_say_them_gives_the_same_classes(table):
    wanted = ["moss", "bark", "moss", "stone"]
    assert labels(Says.of(table, {}, "word"), table) == wanted
    assert labels(Says.of(table, {}, "declared"), table) == wanted
    several = [(word,) for word in wanted]
    assert labels(Says.of(table, {}, "lists"), table) == several
    assert labels(Says.of(table, {"separator": "|"}, "joined"), table) == several
    marks = Says.of(table, {"label_columns": CLASSES}, None)
    assert marks.are_marks and marks.names == CLASSES and labels(marks, table) == several


def test_declared_classes_keep_their_order_and_roles_name_the_columns(table):
    assert Says.of(table, {}, "declared").names == CLASSES and Says.of(table, {}, "word").names is None
    assert Says.of(table, {}, None).role() == {}
    assert Says.of(table, {"label_columns": CLASSES}, None).role() == {"label": "bark, moss, stone"}


@pytest.mark.parametrize(
    ("name", "cells", "words"),
    [("declared", [0, -1], "must have a label"), ("declared", [0, 3], "one of the 3 classes, not 3"),
     ("word", ["a", None], "must have a label"), ("word", [1.0, 0.5], "must be a class")],
)  # fmt: skip
def test_a_label_that_is_none_is_named_by_row_and_column(tmp_path, name, cells, words):
    table = written(tmp_path, {name: cells})
    with pytest.raises(DataError, match=words) as caught:
        labels(Says.of(table, {}, name), table)
    assert caught.value.where.endswith(f"t.parquet, row 1, column {name}")


def test_a_mark_that_is_neither_0_nor_1_is_named(tmp_path):
    table = written(tmp_path, {"moss": [0, 1, 2], "bark": [1, 0, 0]})
    with pytest.raises(DataError, match="must hold 0 or 1, not '2'") as caught:
        labels(Says.of(table, {"label_columns": ["moss", "bark"]}, None), table)
    assert "row 2, column moss" in caught.value.where
    with pytest.raises(DataError, match="no column `mos`") as caught:
        Says.of(table, {"label_columns": ["mos"]}, None)
    assert "`moss`" in caught.value.hint
