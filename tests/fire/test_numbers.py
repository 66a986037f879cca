"""Equal seeds give equal weights; what is not a number is met in the step where it arises and never kept."""

import math

import numpy as np
import pytest
import torch
from fire import harness
from torch.nn import functional

import lichen as li
from lichen.core import session
from lichen.core.context import Context
from lichen.core.errors import DivergedError, LichenError
from lichen.core.step import by_address
from lichen.data import arrays
from lichen.engine.training.execution import Execution

STEP = 3
"""The call of the loss that goes wrong."""
LIVES = {
    "mlp sgd": ("train", {"net": "mlp"}),
    "mlp adam": ("train", {"net": "mlp", "optimizer": "adam"}),
    "mlp adamw": ("train", {"net": "mlp", "optimizer": "adamw"}),
    "cnn sgd": ("train", {"net": "cnn"}),
    "cnn ema": ("train", {"net": "cnn", "ema": 0.9}),
    "cnn clipped": ("train", {"net": "cnn", "clip": 1.0}),
    "resnet norms": ("train", {"net": "resnet20"}),
    "finetune": ("finetune", {"freeze": "none"}),
    "finetune half": ("finetune", {"freeze": "half"}),
    "finetune new head": ("finetune", {"head": "new", "head_epochs": 0}),
}


class Wrong:
    """The loss, but for one call or for all from one on."""

    def __init__(self, kind, *, lasts=False):
        self.kind, self.lasts, self.calls = kind, lasts, 0

    def __call__(self, outputs, targets):
        self.calls += 1
        loss = functional.cross_entropy(outputs.float(), targets)
        if not (self.calls == STEP or (self.lasts and self.calls > STEP)):
            return loss
        if self.kind == "nan loss":
            return loss * math.nan
        if self.kind == "infinite loss":
            return loss / 0.0
        if self.kind == "nan gradient":
            return loss + (outputs.float() - outputs.float().detach()).abs().sqrt().sum()
        if self.kind == "infinite gradient":
            return loss + 0.0 * loss.detach() + (outputs.double().sum() * 1e300 * 0 + _steep(outputs))
        assert self.kind == "overflow"
        return loss + torch.exp(outputs.float() * 0 + 200).sum()


def _steep(outputs):
    """Zero, with a slope beyond float32."""
    return (outputs.float() - outputs.float().detach()).sum() * torch.tensor(3e38) * 10


KINDS = ["nan loss", "infinite loss", "nan gradient", "infinite gradient", "overflow"]


@pytest.fixture(scope="module")
def data():
    draws = np.random.default_rng(0)
    targets = np.arange(120) % 3
    images = draws.integers(0, 120, (120, 1, 8, 8)) + 40 * targets[:, None, None, None]
    return arrays.arrays(images.astype("uint8"), targets, labels=["a", "b", "c"])


@pytest.fixture(scope="module")
def trained(data):
    with session.using(session.Session()):
        return by_address("pretrain.train")(data, net="cnn", epochs=1)


def lived(name, data, trained, loss):
    """The model of a life with this loss; its checkpoints are looked at, one after every step."""
    verb, options = LIVES[name]
    common = {"epochs": 2, "batch_size": 16, "loss": loss, "precision": "float32"}
    if verb == "train":
        return by_address("pretrain.train")(data, **options, **common)
    return by_address("adapt.finetune")(trained, data, **options, **common)


@pytest.fixture
def kept(monkeypatch):
    """Every checkpoint of the test, as it is made."""
    found = []
    monkeypatch.setattr("lichen.engine.fit._execution", lambda *_: Execution())  # measuring asks the loss too
    monkeypatch.setattr(Context, "wants_checkpoint", lambda self: True)
    monkeypatch.setattr(Context, "checkpoint", lambda self, state, arrays: found.append(
        {name: array.numpy().copy() for name, array in arrays.items()}))  # fmt: skip
    return found


def is_finite(arrays):
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LIVES)
def test_what_is_not_a_number_once_is_gone_back_from(name, kind, data, trained, kept):
    notes = []
    with session.using(session.Session()) as here:
        here.events.sinks.append(notes.append)
        model = lived(name, data, trained, Wrong(kind))
    assert is_finite({key: array.numpy() for key, array in model.weights().items()})
    assert kept and all(map(is_finite, kept))
    (warning,) = [
        event["text"] for event in notes if event["kind"] == "warning" and "back to step" in event["text"]
    ]
    assert f"at step {STEP - 1}" in warning and model.made.call.decisions["retry_1"]["step"] == STEP - 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_not_a_number_is_a_clear_failure(kind, data, trained, kept):
    with session.using(session.Session()), pytest.raises(DivergedError, match="after 3 retries") as caught:
        lived("cnn sgd", data, trained, Wrong(kind, lasts=True))
    assert caught.value.exit_code == 6 and "rate" in (caught.value.hint or "")
    assert all(map(is_finite, kept))


def test_a_loop_that_does_not_look_is_seen(data, trained, kept, monkeypatch):
    monkeypatch.setattr("lichen.engine.training.stride.math.isfinite", lambda value: True)
    monkeypatch.setattr("lichen.engine.training.stride.are_finite", lambda parameters: True)
    with session.using(session.Session()):
        try:
            model = lived("cnn sgd", data, trained, Wrong("nan loss"))
        except LichenError:
            return
    assert not is_finite({key: array.numpy() for key, array in model.weights().items()})


def test_weights_that_are_not_numbers_are_refused(data, trained):
    broken = {key: array.numpy().copy() for key, array in trained.weights().items()}
    next(iter(broken.values())).flat[0] = np.nan
    model = trained.with_weights({key: li.core.array.Array.of(array) for key, array in broken.items()})
    with session.using(session.Session()), pytest.raises(LichenError):
        by_address("adapt.finetune")(model, data, epochs=1, freeze="none")


@pytest.mark.parametrize("recipe", list(harness.RECIPES))
def test_equal_seeds_give_equal_weights_three_times(warm, tmp_path, recipe):
    found = [warm(harness.lay(tmp_path / str(turn), recipe)) for turn in range(3)]
    assert [one.code for one in found] == [0, 0, 0]
    assert found[0].finished == found[1].finished == found[2].finished
