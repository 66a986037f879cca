"""calibrate: the temperature is the one of least loss, confidences become honest, and no answer changes."""

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

import lichen as li
from lichen.core.array import Array
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.engine import answer
from lichen.engine.scores import metrics, temperature
from lichen.engine.task import task_of
from lichen.steps.adapt import calibrate as file

LOSS = task_of("image_classification").loss


@pytest.fixture(scope="module")
def learnt():
    """Digits and a net that learnt few of them by heart, so that it is too sure of itself."""
    with using(Session(store=None)):
        data = li.load("digits", num_train=150, validation=0.3)
        model = li.pretrain.train(data, net="mlp", epochs=60, precision="float32", weight_decay=0.0)
    return hotter(model, 0.2), data


def hotter(model, temperature):
    """The model with outputs divided by a temperature."""
    weights = {name: array.numpy() / (temperature if name.startswith("head.") else 1.0)
               for name, array in model.weights().items()}  # fmt: skip
    return model.with_weights({name: Array.of(array) for name, array in weights.items()})


def error(model, rows):
    p_NK = metrics.softmax(answer.logits(model, rows.images))
    return metrics.calibration_error(p_NK.max(1), (p_NK.argmax(1) == rows.targets).astype(float))["value"]


def test_confidence_is_honest_afterwards_and_answers_stay(learnt):
    """On test rows, which it has not seen."""
    model, data = learnt
    with using(Session(store=None)):
        cooled = li.adapt.calibrate(model, data)
    rows = data.rows("test")
    before, after = (answer.logits(one, rows.images) for one in (model, cooled))
    assert (before.argmax(1) == after.argmax(1)).all()
    assert error(cooled, rows) < 0.7 * error(model, rows)
    ratio = before / after
    assert ratio.std() < 1e-3 * ratio.mean()


@pytest.mark.parametrize("planted", [0.3, 1.0, 4.0])
def test_a_planted_temperature_is_found_by_an_independent_search_too(planted):
    draws = np.random.default_rng(0)
    z_NK = draws.normal(size=(4000, 6)) * 2.0
    targets_N = np.array([draws.choice(6, p=p) for p in metrics.softmax(z_NK)])
    found = temperature.fitted((z_NK * planted).astype("float32"), targets_N, LOSS)
    assert found == pytest.approx(planted, rel=0.06)

    def loss(log_heat):
        return metrics.row_losses(z_NK * planted / np.exp(log_heat), targets_N).mean()

    theirs = np.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    assert found == pytest.approx(theirs, rel=1e-3)


def test_where_every_answer_is_right_the_temperature_stays_in_bounds():
    targets_N = np.arange(40) % 4
    found = temperature.fitted(np.eye(4, dtype="float32")[targets_N], targets_N, LOSS)
    assert found == pytest.approx(temperature.COLDEST, rel=0.1)


class NoHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x.flatten(1)).tanh()


def test_a_net_whose_last_layer_is_not_linear_is_refused(learnt):
    model, data = learnt
    module = NoHead()
    images = torch.from_numpy(data.rows("validation").images[:8].copy())
    with pytest.raises(UsageError, match="linear layer"), torch.no_grad():
        inputs = file.task_inputs(model, images.numpy())
        file._head(module, inputs)
