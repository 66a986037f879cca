"""tta: the same weights, more views; every step after it keeps them, and what cannot is refused."""

import pytest
import torch

import lichen as li
from lichen.core.errors import LichenError, UsageError
from lichen.core.session import Session, using
from lichen.engine import answer


@pytest.fixture(scope="module")
def learnt():
    with using(Session(store=None)):
        data = li.load("digits", num_train=300)
        yield li.pretrain.train(data, net="cnn", epochs=2, net_options={"widths": [8, 8]}), data


def test_weights_stay_and_answers_change(learnt):
    model, data = learnt
    many = li.adapt.tta(model)
    assert many.assets["views"] == "flip_shift" and "views" not in model.assets
    assert many.weights().keys() == model.weights().keys() and many.digest != model.digest
    images = data.rows("validation").images
    assert abs(answer.logits(many, images) - answer.logits(model, images)).max() > 1e-3


def test_scores_and_predictions_are_of_the_mean(learnt):
    model, data = learnt
    many = li.adapt.tta(model, views="flip")
    rows = data.rows("validation")
    outputs = torch.from_numpy(answer.logits(many, rows.images))
    assert li.evaluate(many, data).metrics["accuracy"]["value"] == pytest.approx(
        float((outputs.argmax(1).numpy() == rows.targets).mean())
    )
    reply = many.predict(rows.images[0])[0]
    assert reply["confidence"] == pytest.approx(outputs[0].softmax(0).max().item(), abs=1e-5)


def test_calibration_and_further_training_keep_the_views(learnt):
    model, data = learnt
    many = li.adapt.tta(model)
    assert li.adapt.calibrate(many, data).assets["views"] == "flip_shift"
    assert li.adapt.finetune(many, data, epochs=1).assets["views"] == "flip_shift"


def test_an_export_answers_as_the_many_views_do(learnt):
    """Its gate compares it with the model row by row."""
    model, data = learnt
    program = li.deploy.export(li.adapt.tta(model), data, runtime="onnxruntime")
    images = data.rows("validation").images
    wanted = answer.logits(li.adapt.tta(model), images)
    assert abs(answer.logits(program, images) - wanted).max() < 1e-4 * abs(wanted).max() + 1e-5
    with pytest.raises(LichenError):
        li.adapt.tta(program)


def test_a_model_that_takes_no_pictures_is_refused(learnt):
    model, _ = learnt
    assets = {name: value for name, value in model.assets.items() if name != "image_shape"}
    with pytest.raises(UsageError, match="takes none"):
        li.adapt.tta(model.with_weights(model.weights(), assets=assets))
