"""A language model's figures are those of its documents, whatever the packing and the batch."""

import math

import numpy as np
import pytest
import torch
from languages import drawn, texts

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.task import task_of
from lichen.engine.training import supervised


@pytest.fixture(scope="module")
def data():
    return texts()


def document_losses(model, text):
    """Nats of each token of a text by itself, told in pieces as long as the net reads."""
    module, room = model.torch(), model.assets["max_tokens"]
    teller = feeds.tokenizer.of(model.assets["tokenizer"])
    stream = torch.from_numpy(np.concatenate([[teller.end], *teller.encode([text]), [teller.end]]))
    found = []
    for start in range(0, len(stream) - 1, room):
        part = stream[start : start + room + 1].long()
        with torch.no_grad():
            chances = torch.log_softmax(module(part[None, :-1].int())[0], -1)
        found.append(-chances.gather(1, part[1:, None])[:, 0])
    return torch.cat(found).double().numpy()


@pytest.mark.parametrize("size", [260, 300])
def test_figures_are_those_of_the_documents_one_by_one(data, size):
    model = drawn(size=size)
    rows = data.rows("validation").texts
    nats = [document_losses(model, text) for text in rows]
    scores = li.evaluate(model, data)
    num_bytes = sum(len(text.encode()) for text in rows)
    total = sum(losses.sum() for losses in nats)
    assert scores.num_rows == len(rows)
    assert scores["bits_per_byte"] == pytest.approx(total / math.log(2) / num_bytes, rel=1e-5)
    assert scores["loss"] == pytest.approx(total / sum(map(len, nats)), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]), rel=1e-6)
    own = [losses.mean() for losses in nats]
    np.testing.assert_allclose(scores.answers()["loss"].numpy(), own, rtol=1e-4)
    assert scores.answers()["outcome"].numpy().mean() == pytest.approx(scores.value, rel=1e-5)


def test_an_end_without_a_loss_lowers_no_figure():
    """In tokenizers whose texts end by the number that fills rows up, ends are not told."""
    task = task_of("language_modelling")
    targets = np.array([[[0, 3], [0, 2], [0, 0]], [[1, 4], [1, 0], [-1, -1]]])
    losses = np.array([[1.0, 2.0, -1.0], [3.0, -1.0, -1.0]], np.float32)
    figures, (scores, _) = task.figures(losses, targets), task.score(losses, targets)
    assert figures["loss"] == pytest.approx(2.0) and scores["loss"]["value"] == pytest.approx(2.0)
    assert figures["bits_per_byte"] == pytest.approx(6.0 / math.log(2) / 9)
    assert scores["bits_per_byte"]["value"] == pytest.approx(figures["bits_per_byte"])


def test_prediction_says_what_evaluation_scores(data):
    model = drawn(max_tokens=80)
    answers = li.evaluate(model, data).answers()
    replies = model.predict(data.rows("validation").texts)
    np.testing.assert_allclose([reply["loss"] for reply in replies], answers["loss"].numpy(), rtol=1e-4)
    assert [reply["num_tokens"] for reply in replies] == answers["num_tokens"].numpy().tolist()


def test_figures_do_not_depend_on_how_many_rows_are_told_at_once(data, monkeypatch):
    model = drawn()
    rows = feeds.rows_of(data, "train", model.assets).whole()
    whole = answer.logits(model, rows)
    monkeypatch.setattr(supervised, "MOST_OUTPUTS", 3 * 24 * 260)
    assert supervised.at_once(256, model.assets) == 3
    np.testing.assert_allclose(answer.logits(model, rows), whole, atol=1e-4)


def test_intervals_widen_where_documents_are_few_and_hold_the_truth():
    task = task_of("language_modelling")
    draws = np.random.default_rng(1)
    held, widths = 0, {}
    for count in (8, 200):
        for _ in range(40):
            losses = draws.exponential(2.0, (count, 1)).astype("float32") + np.zeros((1, 10), "float32")
            targets = np.stack(
                [np.arange(count)[:, None] + np.zeros((1, 10), int), np.ones((count, 10), int)], -1
            )
            figure = task.score(losses, targets)[0]["loss"]
            held += figure["low"] <= 2.0 <= figure["high"]
            widths.setdefault(count, []).append(figure["high"] - figure["low"])
    assert 62 <= held <= 80
    assert np.mean(widths[8]) > 3 * np.mean(widths[200])


def test_one_document_alone_has_no_interval():
    task = task_of("language_modelling")
    figure = task.score(np.ones((2, 3), "float32"), np.zeros((2, 3, 2), int))[0]["loss"]
    assert figure["low"] == figure["value"] == figure["high"] == 1.0


def test_data_without_texts_are_refused(data):
    task = task_of("language_modelling")
    pictures = li.arrays(
        np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype("u1"), np.arange(20) % 2
    )
    with pytest.raises(DataError, match="a column for `text`"):
        task.check(pictures, "train")
    with pytest.raises(UsageError, match="has its own loss"):
        supervised.objective(task, {}, label_smoothing=0.1)


SMALL = {"depth": 1, "width": 16, "num_heads": 1}
FEW = {"epochs": 1, "batch_size": 8, "precision": "float32"}


@pytest.mark.parametrize("freeze", ["none", "body"])
def test_it_is_tuned_whole_or_at_its_head(data, freeze):
    model = drawn(**SMALL)
    tuned = li.adapt.finetune(model, data, optimizer="adamw", freeze=freeze, **FEW)
    assert li.evaluate(tuned, data).value < li.evaluate(model, data).value


def test_an_adapter_learns_it(data):
    model = drawn(**SMALL)
    adapted = li.adapt.adapter(model, data, rate=0.01, **FEW)
    assert li.evaluate(adapted, data).value < li.evaluate(model, data).value
    assert adapted.adapter().size_bytes < adapted.size_bytes


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_what_a_language_model_cannot_be_is_named(data):
    model = drawn()
    with pytest.raises(UsageError, match="cannot be new"):
        li.adapt.finetune(model, data, head="new")
    with pytest.raises(UsageError, match="one class per row"):
        li.adapt.prototype(model, data)
    with pytest.raises(UsageError, match="this net answers for whole texts"):
        li.pretrain.language(data, li.prepare.bpe(data, size=260), net="bag", steps=1, precision="float32")
