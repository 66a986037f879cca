"""test_qat: what learns through the rounding loses less by it."""

import numpy as np
import pytest
import torch

from lichen.core import session
from lichen.core.errors import GateError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine import answer
from lichen.engine.compression import quantizers
from lichen.engine.compression.calibration import calibration
from lichen.engine.compression.fakequant import Rounded
from lichen.engine.modules import backend
from lichen.steps.compress import qat as room

qat, train = by_address("compress.qat"), by_address("pretrain.train")
NARROW = quantizers.saturates()


@pytest.fixture(scope="module")
def plain(stripes):
    with session.using(Session()):
        return train(stripes, net="cnn", epochs=5, precision="float32")


@pytest.fixture(scope="module")
def loud(plain, stripes):
    """A net with a planted wide channel: 400 times as loud, and heard a 400th as much.

    Its answers in float are the same; in int8 its range drowns all other channels.
    """
    module = plain.torch()
    giving, taking = (layer for layer in module.modules() if getattr(layer, "in_channels", 1) > 1)
    heard = []
    hook = giving.register_forward_hook(
        lambda layer, inputs, outputs: heard.append(outputs.relu().mean((0, 2, 3)))
    )
    module(torch.tensor(stripes.rows("train").images[:40] / 255.0, dtype=torch.float32))
    hook.remove()
    channel = int(heard[0].argmax())
    with torch.no_grad():
        giving.weight[channel] *= 400
        giving.bias[channel] *= 400
        taking.weight[:, channel] /= 400
    return plain.with_weights(backend.arrays_of(module))


def int8_moves(model, data):
    """How far int8 with every layer moves a model's outputs, as a share of them."""
    images = data.rows("validation").images
    exact = answer.logits(model, images)
    program = room._int8(model, calibration(data, model, 100, 0), NARROW)
    return float(np.abs(answer.logits(program, images) - exact).mean() / np.abs(exact).mean())


@pytest.mark.slow
def test_int8_costs_a_net_with_a_planted_wide_channel_less_after_it(loud, stripes):
    events = []
    with session.using(Session()) as here:
        here.events.sinks.append(events.append)
        trained = qat(loud, stripes, epochs=4, max_changed=1.0)
    assert trained.weights().keys() == loud.weights().keys()
    images, targets = stripes.rows("validation").images, stripes.rows("validation").targets
    rows = calibration(stripes, loud, 100, 0)
    right = {name: (answer.logits(room._int8(model, rows, NARROW), images).argmax(1) == targets).mean()
             for name, model in (("before", loud), ("after", trained))}  # fmt: skip
    assert right["after"] >= right["before"]
    assert int8_moves(trained, stripes) < int8_moves(loud, stripes)
    said = [event.get("text", "") for event in events]
    assert any(text.startswith("int8 without this training: accuracy") for text in said)


@pytest.mark.parametrize(("saturates", "high"), [(False, 127), (True, 64)])
def test_the_weights_lie_on_the_grid_that_the_cpu_wants(plain, stripes, monkeypatch, saturates, high):
    monkeypatch.setattr(quantizers, "saturates", lambda: saturates)
    with session.using(Session()):
        trained = qat(plain, stripes, epochs=1, max_changed=0.05 if saturates >= NARROW else 1.0)
    for name, array in trained.weights().items():
        weight = torch.from_numpy(np.array(array.numpy()))
        if weight.ndim == 4:
            torch.testing.assert_close(Rounded(high)(weight), weight, msg=name)


def test_an_executable_that_answers_otherwise_than_the_simulation_is_refused(plain, stripes, monkeypatch):
    """Its ranges are planted: measured on rows of one grey."""
    monkeypatch.setattr(room, "calibration", lambda *_: np.full((20, 1, 8, 8), 9, np.uint8))
    with session.using(Session()), pytest.raises(GateError, match="must answer as its simulation"):
        qat(plain, stripes, epochs=1)
