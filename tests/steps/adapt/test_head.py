"""A model of texts gets a head for other labels, and what it makes of texts stays as it was."""

import numpy as np
import pytest
from languages import bert_folder, drawn

import lichen as li
from lichen.core.errors import UsageError

WORDS = {"dry": ["stone", "bark", "old"], "damp": ["rain", "moss", "wet"]}


def data(num_rows=300, seed=0):
    draws = np.random.default_rng(seed)
    labels = draws.choice(list(WORDS), num_rows)
    rows = [" ".join(draws.choice(WORDS[label], 4)) for label in labels]
    return li.texts([text + " the" * (row % 4) for row, text in enumerate(rows)], labels, duplicates="drop")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return li.pretrain.adopt(str(bert_folder(tmp_path_factory.mktemp("m") / "small")))


def test_the_body_stays_and_a_probe_learns_on_it(encoder):
    rows = data()
    fresh = li.adapt.head(encoder, rows)
    assert fresh.task == "text_classification" and fresh.assets["labels"] == ["damp", "dry"]
    np.testing.assert_array_equal(fresh.embed(["wet moss"]), encoder.embed(["wet moss"]))
    probe = li.adapt.finetune(fresh, rows, freeze="body", epochs=8, rate=0.03, precision="float32")
    np.testing.assert_allclose(probe.embed(["wet moss"]), encoder.embed(["wet moss"]), atol=1e-6)
    assert li.evaluate(probe, rows).value > 0.8
    assert probe.predict("wet rain on moss")[0]["label"] == "damp"


def test_class_means_are_taken_of_its_features(encoder):
    rows = data()
    model = li.adapt.prototype(li.adapt.head(encoder, rows), rows, precision="float32")
    assert li.evaluate(model, rows).value > 0.7


def test_a_language_model_gets_one_too():
    rows = data()
    model = li.adapt.head(drawn(), rows)
    assert model.task == "text_classification" and not model.assets.get("is_packed")
    probe = li.adapt.finetune(model, rows, freeze="body", epochs=8, rate=0.03, precision="float32")
    assert li.evaluate(probe, rows).value > 0.7


def test_fewer_tokens_may_be_read_and_not_more(encoder):
    rows = data()
    assert li.adapt.head(encoder, rows, max_tokens=4).assets["max_tokens"] == 4
    with pytest.raises(UsageError, match="10 tokens at most, not 11"):
        li.adapt.head(encoder, rows, max_tokens=11)
    pictures = li.arrays(
        np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype("u1"), np.arange(20) % 2
    )
    with pytest.raises(UsageError, match="models and tasks of texts"):
        li.adapt.head(li.pretrain.train(pictures, net="mlp", epochs=1), pictures, task="image_classification")
