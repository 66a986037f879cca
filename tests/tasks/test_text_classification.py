"""Texts are learnt from, answered about and scored through the same path as pictures."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.core.session import opened
from lichen.engine import answer
from lichen.engine.inputs import feeds

KIND, UNKIND = ["moving", "bright", "warm", "funny", "deft"], ["dull", "flat", "cold", "tired", "vague"]


def reviews(num_rows=400, seed=0):
    """Texts whose label is the kind of most of their words, and the labels."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 2, num_rows)
    rows = [
        " ".join([*draws.choice((UNKIND, KIND)[y], 3), draws.choice((KIND, UNKIND)[y]), f"film {row}"])
        for row, y in enumerate(labels)
    ]
    return li.texts(rows, labels, labels=["unkind", "kind"])


@pytest.fixture(scope="module")
def data():
    return reviews()


@pytest.fixture(scope="module")
def model(data):
    return li.pretrain.train(
        data, li.prepare.bpe(data, size=320), net="bag", net_options={"num_pairs": 64, "width": 16},
        task="text_classification", epochs=4, optimizer="adamw", rate=0.03, precision="float32",
    )  # fmt: skip


def test_it_learns_and_answers_in_words(data, model):
    assert li.evaluate(model, data).value > 0.9
    replies = model.predict(["warm funny bright deft film", "flat tired vague"])
    assert [reply["label"] for reply in replies] == ["kind", "unkind"]
    assert model.predict("dull")[0]["label"] == "unkind"


def test_the_answer_path_gives_what_evaluation_scores(data, model):
    scores, rows = li.evaluate(model, data), data.rows("validation")
    replies = model.predict(rows.texts)
    answers = scores.answers()
    assert [model.assets["labels"].index(reply["label"]) for reply in replies] == answers[
        "answer"
    ].numpy().tolist()
    found = [reply["confidence"] for reply in replies]
    np.testing.assert_allclose(found, answers["confidence"].numpy(), rtol=1e-4)


def test_answers_do_not_depend_on_the_batch_or_on_what_stands_beside(model):
    texts = ["warm", "a very long and dull and flat and tired film " * 5, "", "funny 😀"]
    rows = np.stack([feeds.of(model.assets).decoded(text, "", model.assets) for text in texts])
    together = answer.logits(model, rows)
    for row in range(len(texts)):
        np.testing.assert_allclose(answer.logits(model, rows[row : row + 1])[0], together[row], atol=1e-5)


def test_a_value_file_holds_the_tokenizer(model, tmp_path):
    model.save(tmp_path / "m.lichen")
    assert li.open(tmp_path / "m.lichen").predict("warm") == model.predict("warm")


def test_the_same_seed_gives_the_same_bytes(data, tmp_path):
    made = []
    for _ in range(2):
        with opened(tmp_path / f"{len(made)}.lichen"):
            teller = li.prepare.bpe(data, size=300)
            made.append(li.pretrain.train(
                data, teller, net="bag", net_options={"width": 8}, epochs=1, task="text_classification",
                precision="float32",
            ).digest)  # fmt: skip
    assert made[0] == made[1]


def test_mistakes_are_named(data, model):
    pictures = li.arrays(
        np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype("u1"), np.arange(20) % 2
    )
    with pytest.raises(UsageError, match="none is given(.|\n)*prepare.bpe"):
        li.pretrain.train(data, net="bag", task="text_classification")
    with pytest.raises(DataError, match="a column for `image`"):
        li.pretrain.train(data, net="mlp")
    with pytest.raises(DataError, match="a column for `text`"):
        li.pretrain.train(pictures, net="bag", task="text_classification")
    with pytest.raises(DataError, match="a column for `label`"):
        li.pretrain.train(li.texts(["a", "b", "c"] * 9, duplicates="drop"), model, net="bag",
                          task="text_classification")  # fmt: skip
    with pytest.raises(DataError, match="must be a text, not int(.|\n)*input 1"):
        model.predict(["fine", 5])
    with pytest.raises(DataError, match="UTF-8; byte 0 is not"):
        model.predict(b"\xff")
