"""Rows of a table are learnt from, answered about and scored through the same path as pictures."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError


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
