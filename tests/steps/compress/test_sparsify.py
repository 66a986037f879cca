"""test_sparsify: zeros that stay zero, through training, storing and exporting, and are not oversold."""

import numpy as np
import onnx
import pytest

from lichen.core import session
from lichen.core.errors import UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine import answer

sparsify, train = by_address("compress.sparsify"), by_address("pretrain.train")


@pytest.fixture(scope="module")
def life(stripes):
    with session.using(Session()):
        return train(stripes, net="cnn", epochs=3, precision="float32"), stripes


def sparse(life, **options):
    events = []
    with session.using(Session()) as here:
        here.events.sinks.append(events.append)
        found = sparsify(*life, precision="float32", **options)
    return found, [event.get("text", "") for event in events]


def filters(model):
    return {name: model.weights()[f"{name}.weight"].numpy() for name in model.assets["masks"]["layers"]}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["global", "layer"])
def test_the_share_asked_for_is_zero_after_training_and_in_the_export(life, pattern):
    model, _ = sparse(life, sparsity=0.7, pattern=pattern, epochs=2)
    found = np.concatenate([weight.ravel() for weight in filters(model).values()])
    assert abs((found == 0).mean() - 0.7) < 1e-3
    before = life[0].weights()
    assert any((weight[weight != 0] != before[f"{name}.weight"].numpy()[weight != 0]).any()
               for name, weight in filters(model).items()), "the others learnt"  # fmt: skip
    with session.using(Session()):
        program = by_address("deploy.export")(model, life[1], runtime="onnxruntime")
    held = onnx.load_from_string(bytes(program.files()["model.onnx"])).graph.initializer
    exported = np.concatenate(
        [onnx.numpy_helper.to_array(each).ravel() for each in held if len(each.dims) > 1]
    )
    assert (exported == 0).sum() >= (found == 0).sum()


def test_two_of_every_four_are_zero_after_training(life):
    model, _ = sparse(life, pattern="2:4", epochs=1)
    assert filters(model)
    for weight in filters(model).values():
        fours = weight.reshape(weight.shape[0], -1, 4, *weight.shape[2:])
        assert ((fours != 0).sum(2) <= 2).all()


@pytest.mark.slow
def test_a_later_training_keeps_the_zeros(life):
    model, _ = sparse(life, sparsity=0.6, epochs=1)
    with session.using(Session()):
        tuned = by_address("adapt.finetune")(model, life[1], epochs=1, freeze="none", precision="float32")
    for name, weight in filters(model).items():
        assert (tuned.weights()[f"{name}.weight"].numpy()[weight == 0] == 0).all()
    assert tuned.digest != model.digest


@pytest.mark.slow
def test_rounds_zero_more_and_more(life):
    model, said = sparse(life, sparsity=0.8, rounds=2, round_epochs=1, epochs=1)
    found = np.concatenate([weight.ravel() for weight in filters(model).values()])
    assert abs((found == 0).mean() - 0.8) < 1e-3
    images = life[1].rows("test").images
    assert (answer.logits(model, images).argmax(1) == life[1].rows("test").targets).mean() > 0.8
    assert any("zeros in" in text and "packed" in text for text in said)


@pytest.mark.slow
def test_nothing_is_claimed_that_the_clock_does_not_say(life, monkeypatch):
    from lichen.steps.compress import sparsify as room

    monkeypatch.setattr(room.latency, "beside", lambda *both: {"before": 1.0, "after": 1.0})
    _, said = sparse(life, sparsity=0.9, epochs=0)
    assert any("zeros are not faster here" in text for text in said)
    monkeypatch.setattr(room.latency, "beside", lambda *both: {"before": 1.0, "after": 0.5})
    _, said = sparse(life, sparsity=0.9, epochs=0)
    assert not any("zeros are not faster here" in text for text in said)


def test_without_it_is_no_zeros(life):
    assert sparsify.signature.removal() == {"sparsity": 0.0}
    with session.using(Session()):
        assert sparsify(*life, sparsity=0.0).digest == life[0].digest


def test_a_sparse_model_becomes_sparser_and_never_fuller(life):
    once, _ = sparse(life, sparsity=0.8, pattern="layer", epochs=0)
    again, _ = sparse((once, life[1]), sparsity=0.5, pattern="layer", epochs=1, rounds=2, round_epochs=1)
    for name, weight in filters(once).items():
        assert not filters(again)[name][weight == 0].any()


def test_an_adapter_is_refused_where_zeros_are_to_stay(life):
    once, _ = sparse(life, sparsity=0.5, epochs=0)
    with session.using(Session()), pytest.raises(UsageError, match="zeros"):
        by_address("adapt.adapter")(once, life[1], epochs=1)


def test_a_sparse_model_is_trained_in_simulated_int8_and_keeps_its_zeros(life):
    once, _ = sparse(life, sparsity=0.5, pattern="layer", epochs=0)
    with session.using(Session()):
        trained = by_address("compress.qat")(once, life[1], epochs=1)
    for name, weight in filters(once).items():
        assert not filters(trained)[name][weight == 0].any()


def test_a_student_claims_no_zeros_of_its_teacher(life):
    once, _ = sparse(life, sparsity=0.5, epochs=0)
    with session.using(Session()):
        student = by_address("compress.distil")(once, life[1], net="mlp", epochs=1, precision="float32")
    assert "masks" not in student.assets
