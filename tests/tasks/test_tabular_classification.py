"""Rows of a table are learnt from, answered about and scored through the same path as pictures."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest

import lichen as li
from lichen.cli import shipping
from lichen.core.errors import DataError, LichenError, UsageError
from lichen.engine.programs import gate, parity


@pytest.fixture(scope="module")
def data():
    """Breast cancers measured under the microscope."""
    found = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    columns = {str(name): found.data[:, place] for place, name in enumerate(found.feature_names)}
    return li.table(columns, found.target, labels=["malignant", "benign"])


@pytest.fixture(scope="module")
def model(data):
    return li.pretrain.train(
        data, net="mlp", net_options={"width": 32}, task="tabular_classification", epochs=15,
        optimizer="adamw", precision="float32",
    )  # fmt: skip


def test_it_learns_and_answers_in_words(data, model):
    assert li.evaluate(model, data).value > 0.9
    rows = data.rows("validation")
    replies = model.predict(rows.records)
    answers = li.evaluate(model, data).answers()
    assert [data.labels.index(reply["label"]) for reply in replies] == answers["answer"].numpy().tolist()
    assert model.predict(rows.records[0])[0]["label"] == replies[0]["label"]


def test_inputs_that_are_no_rows_are_named(data, model):
    record = data.rows("validation").records[0]
    with pytest.raises(DataError, match="no column `mean radiu`") as caught:
        model.predict({**record, "mean radiu": 1})
    assert "mean radius" in caught.value.hint
    with pytest.raises(DataError, match="must have the column"):
        model.predict({"mean radius": 1})
    with pytest.raises(DataError, match="must be cells by column"):
        model.predict([3.5])
    with pytest.raises(DataError, match="holds numbers"):
        model.predict({**record, "mean radius": "wide"})


def test_a_value_file_holds_the_encoder(data, model, tmp_path):
    model.save(tmp_path / "m.lichen")
    record = data.rows("validation").records[0]
    assert li.open(tmp_path / "m.lichen").predict(record) == model.predict(record)


def test_it_takes_tables_and_no_pictures(model):
    images = li.arrays(
        np.zeros((40, 8, 8), "uint8") + np.arange(40, dtype="uint8")[:, None, None],
        np.arange(40) % 2,
        ["malignant", "benign"],
    )
    with pytest.raises(DataError, match="needs a column for `features`"):
        li.evaluate(model, images)


@pytest.fixture(scope="module")
def program(data, model):
    return li.deploy.export(model, data, runtime="torch")


def test_a_graph_answers_raw_rows_as_the_model_does(data, model, program):
    rows = data.rows("validation").records
    wanted, found = ([reply["confidence"] for reply in one.predict(rows)] for one in (model, program))
    assert found == pytest.approx(wanted, abs=1e-5)
    assert li.evaluate(program, data).value == li.evaluate(model, data).value


@pytest.mark.parametrize("change", [{"mean": 0.0}, {"std": 1.0}, {"name": "another"}])
def test_a_graph_whose_encoder_is_another_is_refused(data, model, program, change):
    """The graph itself is right: raw rows alone show it."""
    told = [{**one, **change} for one in program.assets["encoder"]]
    planted = replace(program, manifest={**program.manifest, "assets": {**program.assets, "encoder": told}})
    terms = gate.Terms(tolerance=1e-4, max_drop=0.0, max_flips=0.001)
    with pytest.raises(LichenError, match="answered otherwise|no column"):
        gate.require_answers(parity.Reference(model, data), planted, terms)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # lines to be copied close no files
def test_what_is_exported_says_how_to_ask_it_and_that_answers(data, model, program, tmp_path, monkeypatch):
    """Raw cells, without lichen: the words beside the file are run as they stand."""
    row = data.rows("validation").records[3]
    for value, format in ((program, "torch"), (model, "lichen")):
        with li.opened(tmp_path / ".lichen") as session:
            shipping.pack(value, tmp_path / format, format=format, data=data, session=session, name="m")
        text = (tmp_path / format / "README.txt").read_text()
        code = text[text.index("import ") :].splitlines()
        code = [f"cells = {row!r}" if line.startswith("cells =") else line for line in code]
        code = [f"print(li.open('model.lichen').predict({row!r})[0]['label'])" if "predict(" in line else line
                for line in code]  # fmt: skip
        monkeypatch.chdir(tmp_path / format)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec("\n".join(code), {})
        assert out.getvalue().strip() == model.predict(row)[0]["label"] and "float32 (N, 30)" in text


def test_a_net_or_a_task_of_pictures_is_refused_with_what_to_take(data):
    with pytest.raises(DataError, match="needs a column for `image`") as caught:
        li.pretrain.train(data, net="mlp", epochs=1)
    assert "tabular_classification" in caught.value.hint
    with pytest.raises(UsageError, match="`cnn` takes pictures; these are rows of numbers"):
        li.pretrain.train(data, net="cnn", task="tabular_classification", epochs=1)
    with pytest.raises(UsageError, match="operations vary pictures"):
        li.augment.policy(data, ops=["flip"])


def test_what_is_done_to_classifiers_of_pictures_is_done_to_these(data, model):
    hot = li.adapt.calibrate(model, data)
    rows = data.rows("validation").records
    said = [[reply["label"] for reply in one.predict(rows)] for one in (model, hot)]
    assert said[0] == said[1]
    mean = li.adapt.soup(data, model, hot, method="uniform")
    assert li.evaluate(mean, data).value == li.evaluate(model, data).value
