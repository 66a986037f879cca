"""test_train: the defaults learn handwritten digits; answers agree on every path."""

import numpy as np
import pytest
from quiet import Quiet
from sklearn.datasets import load_digits

from lichen.core.errors import DataError, LeakError
from lichen.data.arrays import arrays
from lichen.engine import answer, measure
from lichen.steps.assess.evaluate import evaluate
from lichen.steps.pretrain.train import train


@pytest.fixture(scope="module")
def data():
    digits = load_digits()
    return arrays((digits.images * 255 / 16).astype("uint8"), digits.target)


@pytest.fixture(scope="module")
def model(data):
    return fitted(data, net="mlp")


def fitted(data, **options):
    return train.fn(data, task="image_classification", run=Quiet(), **options)


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_the_defaults_learn_digits(data, net):
    scores = evaluate.fn(fitted(data, net=net), data, split="test", run=Quiet())
    assert scores.value >= 0.97
    assert scores.headline == "accuracy"


def test_scores_predict_and_torch_say_the_same(data, model):
    scores = evaluate.fn(model, data, split="validation", run=Quiet())
    images = data.rows("validation").images
    said = [reply["label"] for reply in model.predict(images)]
    assert said == [data.labels[answer] for answer in scores.answers()["answer"].numpy()]
    assert float(scores.answers()["outcome"].numpy().mean()) == pytest.approx(scores.value)
    outputs = answer.logits(model, images, 7)
    np.testing.assert_allclose(outputs, answer.logits(model, images, 64), rtol=1e-4, atol=1e-4)


def test_a_users_metric_leads(data, model):
    def worst(outputs, targets):
        return float((outputs.argmax(1) != targets).mean())

    worst.higher_is_better = False
    scores = evaluate.fn(model, data, metric=worst, run=Quiet())
    assert scores.headline == "worst" and scores.value == pytest.approx(1 - scores["accuracy"])
    assert not scores.manifest["higher_is_better"]


def test_one_class_is_refused():
    with pytest.raises(DataError):
        fitted(arrays(np.random.default_rng(0).integers(0, 255, (50, 8, 8)).astype("uint8"), [0] * 50))


def test_training_may_not_open_test(data):
    model = fitted(data.opened(("train", "validation")), net="mlp", epochs=1)
    with pytest.raises(LeakError):
        evaluate.fn(model, data.opened(("validation",)), split="test", run=Quiet())


def test_cost_is_measured_within_its_limit(model):
    cost = measure.cost(model, limit_s=0.2)
    assert 0 < cost.latency_ms < 1000 and cost.rows_per_s * cost.latency_ms >= 1000 * 0.99
    assert cost.size_bytes == model.size_bytes
