"""A table of cells is seen as one, its columns are told, and a recipe for it can be lived."""

import json

import numpy as np
import pytest

from lichen.cli import starting
from lichen.core import flow, recipefile
from lichen.core.errors import DataError
from lichen.data import repeats, survey


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


def mails(path, **columns):
    """Texts without a column of a usual name for labels, and columns beside them by row."""
    lines = [",".join(["row", "message", *columns])]
    for row in range(60):
        lines.append(",".join([str(row), f"words of mail {row}", *(str(of(row)) for of in columns.values())]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_one_column_that_repeats_itself_is_taken_for_the_label(tmp_path):
    source = mails(tmp_path / "mails.csv", intent=lambda row: "abc"[row % 3], score=lambda row: row % 4 + 0.5)
    text, said = starting.suggest(source)
    flow.check(recipefile.parse(text, "mails"))
    assert said["task"] == "text_classification" and "label: intent" in text
    assert any("`intent` alone repeats itself" in note for note in said["notes"])
    text, said = starting.suggest(source, label="")
    assert said["task"] == "language_modelling" and "label: ''" in text


def test_of_several_none_is_taken_and_all_are_named(tmp_path):
    source = mails(
        tmp_path / "mails.csv", intent=lambda row: "abc"[row % 3], channel=lambda row: "xy"[row % 2]
    )
    text, said = starting.suggest(source)
    assert said["task"] == "language_modelling" and "`intent` (3 values), `channel` (2 values)" in text
    labelled, _ = starting.suggest(source, label="channel")
    assert "label: channel" in labelled


def test_little_text_is_read_a_few_times(tmp_path):
    text, _ = starting.suggest(mails(tmp_path / "mails.csv", number=lambda row: row))
    assert "steps: 20}" in text and "depth: 2" in text


@pytest.mark.parametrize(("columns", "told", "task", "line"), [
    (("prompt", "answer"), {}, "language_modelling", "adapt.instruct"),
    (("prompt", "chosen", "rejected"), {}, "language_modelling", "adapt.dpo"),
    (("en", "de"), {"text": "en", "target": "de"}, "translation", "net: seq2seq"),
])  # fmt: skip
def test_conversations_preferences_and_pairs_have_lives_of_their_own(tmp_path, columns, told, task, line):
    path = tmp_path / "said.jsonl"
    path.write_text("".join(
        json.dumps({name: f"{name} of row {row}" for name in columns}) + "\n" for row in range(60)
    ))  # fmt: skip
    text, said = starting.suggest(str(path), **told)
    life = recipefile.parse(text, "said")
    assert said["task"] == task and line in text
    assert {name: life.lines[0].options[name] for name in told} == told


def test_what_nobody_can_name_is_told_how_to_be_named(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("en,de\n" + "".join(f"house {row},Haus {row}\n" for row in range(30)))
    with pytest.raises(DataError, match="no column looks like the label") as caught:
        starting.suggest(str(path))
    assert "--text NAME --target NAME" in caught.value.hint


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_repeats_are_found_in_every_kind_of_table(tmp_path, suffix):
    import pandas as pd

    frame = pd.DataFrame({"text": [f"mail {row}" for row in range(60)], "is_urgent": [True, False] * 30,
                          "amount": [row / 7 for row in range(60)], "some": ["a", None] * 30})  # fmt: skip
    path = tmp_path / f"mails.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    assert repeats.repeats(path, {"text"}) == {"is_urgent": 2}
