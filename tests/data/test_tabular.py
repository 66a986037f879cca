"""Rows of a table are the same rows whatever file they come from, and are named by their cells."""

import json

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError, OptionError
from lichen.data import manifest, tabular

TOWNS = ["Bonn", "Köln", "", "007"]


def columns(num_rows=40):
    draws = np.random.default_rng(0)
    return {
        "age": draws.integers(18, 80, num_rows).tolist(),
        "pay": [None if row % 9 == 0 else round(float(draws.normal()), 3) for row in range(num_rows)],
        "town": [TOWNS[row % 4] for row in range(num_rows)],
    }  # fmt: skip


LABELS = ["yes" if row % 3 else "no" for row in range(40)]


@pytest.mark.parametrize(
    ("value", "found"),
    [("3.50", 3.5), (" 7 ", 7), ("007", "007"), ("-0", 0), (2.0, 2), (float("nan"), None), ("", None),
     (True, "true"), (np.float32(0.5), 0.5), (np.int64(3), 3), (np.str_("a"), "a"), ("1e3", 1000),
     ("-.5", -0.5), ("True", "true"), ("FALSE", "false"), ("Truest", "Truest"),
     ("NA", None), (" ? ", None), ("null", None), ("Nato", "Nato")],
)  # fmt: skip
def test_a_cell_is_read_as_json_has_it(value, found):
    cell = tabular.cell(value, "x")
    assert cell == found and type(cell) is type(found)


@pytest.mark.parametrize("value", [float("inf"), [1], {"a": 1}, b"x", "\ud800",
                                   np.datetime64("2020-01-01", "ns"), np.timedelta64(5, "ns")])  # fmt: skip
def test_what_is_no_cell_is_refused(value):
    with pytest.raises(DataError, match="cell"):
        tabular.cell(value, "x")


def written(folder, form):
    """The table in a file of this form."""
    table, path = {**columns(), "class": LABELS}, folder / f"table.{form}"
    rows = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "csv":
        said = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
        path.write_text("\n".join([",".join(table), *said]) + "\n", encoding="utf-8")
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table(table), path)
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_files_and_python_give_the_same_rows(tmp_path, form):
    here = li.table(columns(), LABELS)
    there = li.load(str(written(tmp_path, form)), features=["*"])
    for split in here.splits:
        assert np.array_equal(manifest.digests(here, split), manifest.digests(there, split))
        assert here.rows(split).records == there.rows(split).records
    assert there.labels == ["no", "yes"]
    kept = li.load(str(tmp_path), features=["*"], keep=True)
    assert kept.rows("train").records == here.rows("train").records


@pytest.mark.parametrize("form", ["texts", "cells", "pixels"])
def test_two_columns_of_one_name_are_refused(form, tmp_path):
    """A row would have the cell of the last one, or of the first."""
    odd = {"texts": "text,label,label", "cells": "age,label,age", "pixels": "label,a,b,b,d"}[form]
    cells = ["1"] * (odd.count(",") + 1)
    (tmp_path / "t.csv").write_text("\n".join([odd, *[",".join(cells)] * 9]) + "\n")
    twice = {"texts": "label", "cells": "age", "pixels": "b"}[form]
    with pytest.raises(DataError, match=f"`{twice}` is named again"):
        li.load(str(tmp_path / "t.csv"), features=["*"] if form == "cells" else None)


def test_columns_are_chosen_by_name(tmp_path):
    path = str(written(tmp_path, "csv"))
    data = li.load(path, features=["town", "age"], label="class")
    assert list(data.rows("train").records[0]) == ["town", "age"]
    with pytest.raises(DataError, match="no column `agee`") as caught:
        li.load(path, features=["agee"])
    assert "`age`" in caught.value.hint
    but = li.load(path, features=["*", "-pay"], label="class")
    assert list(but.rows("train").records[0]) == ["age", "town"]
    with pytest.raises(DataError, match="no column `pai`") as caught:
        li.load(path, features=["*", "-pai"])
    assert "`pay`" in caught.value.hint
    with pytest.raises(OptionError, match="no other role"):
        li.load(path, features=["age", "class"])
    with pytest.raises(OptionError, match="no other columns"):
        li.load(path, features=["age"], text="town")


def test_a_table_that_was_not_told_to_be_one_says_how_it_is_read(tmp_path):
    for form in ("csv", "parquet"):
        with pytest.raises(DataError) as caught:
            li.load(str(written(tmp_path, form)), label="class")
        assert 'features=["*"] reads a table' in caught.value.hint


def test_other_marks_between_columns_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("age;class\n3;a\n4;b\n")
    with pytest.raises(DataError, match="between commas, not ';'"):
        li.load(str(path), features=["*"])


def test_a_table_of_python_says_what_is_wrong_and_where():
    with pytest.raises(DataError, match="one cell per target"):
        li.table({"a": [1, 2]}, [0, 1, 1])
    with pytest.raises(DataError, match="no column `clas`"):
        li.table({"a": [1, 2], "class": [0, 1]}, "clas")
    with pytest.raises(DataError, match="cell") as caught:
        li.table({"a": [1, float("inf")]}, [0, 1])
    assert "row 1" in str(caught.value.where)


def test_a_row_that_changed_in_its_file_is_refused(tmp_path):
    path = written(tmp_path, "csv")
    path.write_text(path.read_text(encoding="utf-8").replace("Bonn", "Trier"), encoding="utf-8")
    data = li.load(str(path), features=["*"])
    path.write_text(path.read_text(encoding="utf-8").replace("Trier", "Paris"), encoding="utf-8")
    with pytest.raises(DataError, match="has changed"):
        data.rows("train").texts  # noqa: B018
