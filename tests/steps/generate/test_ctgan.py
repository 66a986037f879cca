"""ctgan: rows that are made have the schema and the class of real ones, and come from codes alone."""

import ast
import contextlib
import io

import numpy as np
import pytest

import lichen as li
from lichen.cli import shipping
from lichen.core.errors import DataError, UsageError
from lichen.data import extension
from lichen.engine.programs import gate

SMALL = {"width": 32, "num_codes": 8, "pack": 4, "batch_size": 100, "rate": 0.001}


def table(num_rows=300, seed=0):
    """Low or high by class, a word that goes with the class, and a whole number that does not."""
    draws = np.random.default_rng(seed)
    y = draws.integers(0, 2, num_rows)
    columns = {
        "x": np.round(draws.normal(np.where(y, 4.0, -4.0), 1.0), 3).tolist(),
        "w": [str(draws.choice(["mild", "rare"], p=[0.9, 0.1]) if one else "hard") for one in y],
        "n": draws.integers(0, 60, num_rows).tolist(),
    }
    return li.table(columns, y, ["low", "high"], ["train"] * num_rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with li.opened(tmp_path_factory.mktemp("s") / ".lichen"):
        yield table(), li.generate.ctgan(table(), epochs=4, **SMALL).generator


def rows_of(generator, label, num=100):
    replies = generator.predict([f"{label}#{number}" for number in range(num)])
    return [reply["row"] for reply in replies]


def test_rows_have_the_schema_of_real_ones(made):
    data, generator = made
    real = data.rows("train").records
    for row in rows_of(generator, "low") + rows_of(generator, "high"):
        assert list(row) == ["x", "w", "n"] and row["w"] in ("hard", "mild", "rare")
        assert type(row["n"]) is int and 0 <= row["n"] < 60
        assert min(one["x"] for one in real) <= row["x"] <= max(one["x"] for one in real)


@pytest.mark.slow
def test_rows_are_of_the_class_that_was_asked_for_and_differ(tmp_path):
    with li.opened(tmp_path / ".lichen"):
        generator = li.generate.ctgan(table(), epochs=200, **{**SMALL, "rate": 0.002}).generator
    low, high = rows_of(generator, "low"), rows_of(generator, "high")
    assert np.mean([row["x"] < 0 for row in low]) > 0.8 and np.mean([row["x"] > 0 for row in high]) > 0.8
    assert np.mean([row["w"] == "hard" for row in low]) > 0.8
    assert np.mean([row["w"] == "hard" for row in high]) < 0.2
    assert len({row["x"] for row in low}) > 50 and len({row["n"] for row in low}) > 5
    assert scored(generator, table(seed=1)).value > 0.3


def test_a_row_is_a_function_of_its_code(made):
    _, generator = made
    for alone, beside in zip(rows_of(generator, "low", 3), rows_of(generator, "low", 100), strict=False):
        assert alone["w"] == beside["w"] and alone["x"] == pytest.approx(beside["x"], rel=1e-3)


def test_equal_calls_make_equal_models(tmp_path):
    with li.opened(tmp_path / "a" / ".lichen"):
        first = li.generate.ctgan(table(40), epochs=2, **{**SMALL, "batch_size": 20})
    with li.opened(tmp_path / "b" / ".lichen"):
        second = li.generate.ctgan(table(40), epochs=2, **{**SMALL, "batch_size": 20})
    assert first.generator == second.generator and first.discriminator == second.discriminator


def scored(generator, data):
    """Scores beside the train rows of data, as rows that judge."""
    records = data.rows("train").records
    columns = {name: [row[name] for row in records] for name in records[0]}
    held = li.table(columns, data.rows("train").targets, ["low", "high"], ["validation"] * len(records))
    return li.evaluate(generator, held)


def test_it_is_scored_beside_real_rows(made):
    _, generator = made
    scores = scored(generator, table(60, seed=1))
    assert scores.headline == "coverage" and scores.num_rows == 60
    nearest = scores.answers()["answer"].numpy()
    assert len(nearest) == 60 and set(nearest) <= set(range(60))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # lines to be copied close no files
def test_what_is_exported_says_how_to_ask_for_a_row_and_that_answers(made, tmp_path, monkeypatch):
    _, generator = made
    for format in ("safetensors", "lichen"):
        with li.opened(tmp_path / ".lichen") as session:
            shipping.pack(generator, tmp_path / format, format=format, data=None, session=session, name="m")
        text = (tmp_path / format / "README.txt").read_text()
        assert "a class by its place in labels.json" in text
        monkeypatch.chdir(tmp_path / format)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(text[text.index("import ") :], {})
        row = ast.literal_eval(out.getvalue().strip())
        assert list(row) == ["x", "w", "n"] and row["w"] in ("hard", "mild", "rare") and 0 <= row["n"] < 60


def test_a_gate_compares_made_rows_cell_by_cell(made):
    """Two programs that answer by another's cells: in one column alone, and in one row alone."""
    _, generator = made
    replies = generator.predict([f"low#{number}" for number in range(50)])
    told = gate._told(replies, generator.assets)
    assert len(told) == 3 * len(replies)
    moved = [{"row": {**reply["row"], "x": reply["row"]["x"] + 0.5}} for reply in replies]
    others = [replies[0], {"row": {**replies[1]["row"], "w": "none of them"}}, *replies[2:]]
    for changed, wanted in ((moved, len(replies)), (others, 1), (replies, 0)):
        pairs = zip(told, gate._told(changed, generator.assets), strict=True)
        assert sum(not gate._are_alike(*pair, 1e-4) for pair in pairs) == wanted


def test_what_is_no_table_and_too_few_rows_are_refused(tmp_path):
    with li.opened(tmp_path / ".lichen"):
        with pytest.raises(UsageError, match="no rows of a table"):
            li.generate.ctgan(li.load("digits"))
        with pytest.raises(DataError, match="50 train rows at least; there are 40"):
            li.generate.ctgan(table(40), **{**SMALL, "pack": 50})


def test_rows_of_a_table_join_it_with_their_provenance_and_are_judged(tmp_path):
    """Held-back rows stand in for a good generator: synthesize keeps what passes, and the judge is asked."""
    with li.opened(tmp_path / ".lichen"):
        whole = table(160)
        records = whole.rows("train").records
        columns = {name: [row[name] for row in records] for name in records[0]}
        splits = ["train" if row % 2 else "validation" for row in range(160)]
        data = li.table(columns, whole.rows("train").targets, ["low", "high"], splits)
        model = li.pretrain.train(data, net="mlp", net_options={"width": 8}, task="tabular_classification",
                                  epochs=2, precision="float32")  # fmt: skip
        generator = li.generate.ctgan(data, epochs=2, **{**SMALL, "batch_size": 40}).generator
        more = li.generate.synthesize(generator, data, model, confidence=0.0, max_distance=None, ratio=0.5)
        found = extension.provenance(more)
        assert found.names == ("real", f"synthetic {generator.digest[:10]}")
        made = [
            row for row, is_real in zip(more.rows("train").records, found.is_real, strict=True) if not is_real
        ]
        assert len(made) == more.num_synthetic > 20 and list(made[0]) == list(records[0])
        assert more.splits["validation"] == data.splits["validation"]
        worth = li.studies.worth_of_synthetic(model, more, seeds=1)
        assert {"real, with rows between", "real and synthetic"} <= {arm.name for arm in worth.arms}
        assert worth.data in (data, more)
        other = li.table({"z": columns["x"]}, whole.rows("train").targets, ["low", "high"])
        with pytest.raises(UsageError, match="the generator's columns must be the data's: z"):
            li.generate.synthesize(generator, other)
        with pytest.raises(UsageError, match="synthetic rows must have the columns"):
            li.generate.extend(data, other)
