"""A table of cells is seen as one, its columns are told, and a recipe for it can be lived."""

import numpy as np
import pytest

from lichen.cli import starting
from lichen.core import flow, recipefile
from lichen.core.errors import DataError
from lichen.data import survey


@pytest.fixture
def table(tmp_path):
    """Birds: a number of each, words, numbers with and without a point, few whole numbers, empty cells."""
    draws = np.random.default_rng(0)
    lines = ["row,island,bill,mass,eggs,species"]
    for row in range(60):
        bill = "" if row % 10 == 0 else f"{draws.normal(40, 4):.1f}"
        island, species = ("Bonn" if row % 3 else "Ulm"), ("Adelie" if row % 2 else "Gentoo")
        lines.append(f"{row},{island},{bill},{draws.integers(3000, 5000)},{row % 3},{species}")
    path = tmp_path / "birds.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_each_column_is_told(table):
    seen, data = survey.survey(table, label="species")
    assert "tabular" in data.schema and seen.lengths == () and seen.sizes == ()
    kinds = {one.name: one.kind for one in seen.cells}
    assert kinds == {
        "row": "amounts",
        "island": "words",
        "bill": "amounts",
        "mass": "amounts",
        "eggs": "levels",
    }
    assert [one.name for one in seen.cells if one.tells_rows_apart] == ["row"]
    (bill,) = [one for one in seen.cells if one.name == "bill"]
    assert 0 < bill.empty < 10 and {one.empty for one in seen.cells if one.name != "bill"} == {0}


def test_the_recipe_leaves_out_what_tells_rows_apart_and_is_valid(table):
    text, said = starting.suggest(table, label="species")
    life = recipefile.parse(text, "birds")
    flow.check(life)
    assert said["task"] == "tabular_classification" and "`row` tells every row apart" in text
    assert "label: species" in text and "-row" in text and "a table of 5 columns" in text


def test_features_are_chosen_and_a_wrong_one_is_named(table):
    seen, _ = survey.survey(table, label="species", features=["*", "-row", "-eggs"])
    assert [one.name for one in seen.cells] == ["island", "bill", "mass"]
    with pytest.raises(DataError, match="no column `mas`") as caught:
        survey.survey(table, label="species", features=["*", "-mas"])
    assert "`mass`" in caught.value.hint


def test_without_a_label_the_columns_are_listed(table):
    with pytest.raises(DataError, match="no column looks like the label") as caught:
        survey.survey(table)
    assert "species" in caught.value.hint
