"""test_distil: a student nears its teacher, more than labels alone bring it there."""

import numpy as np
import pytest
from languages import drawn, texts

from lichen.core import session
from lichen.core.errors import UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine import answer
from lichen.engine.inputs import feeds

distil, train = by_address("compress.distil"), by_address("pretrain.train")


@pytest.fixture(scope="module")
def teacher(stripes):
    with session.using(Session()):
        return train(stripes, net="cnn", epochs=5, precision="float32", label_smoothing=0.2)


def apart(model, teacher, data):
    """The mean difference of answered probabilities on rows that neither learnt from."""
    images = data.rows("validation").images
    found = []
    for each in (model, teacher):
        outputs = answer.logits(each, images)
        exp = np.exp(outputs - outputs.max(1, keepdims=True))
        found.append(exp / exp.sum(1, keepdims=True))
    return float(np.abs(found[0] - found[1]).mean())


@pytest.mark.parametrize("features", ["none", "hints", "attention"])
def test_it_brings_a_student_nearer_to_the_teacher_than_labels_do(teacher, stripes, features):
    with session.using(Session()):
        alone, taught = (
            distil(teacher, stripes, net="cnn", net_options={"widths": [4, 8], "dense": 16}, epochs=6,
                   precision="float32", distillation_share=share, features=kind)
            for share, kind in ((0.0, "none"), (0.9, features))
        )  # fmt: skip
    assert taught.num_params == alone.num_params < teacher.num_params
    assert apart(taught, teacher, stripes) < 0.8 * apart(alone, teacher, stripes)
    assert dict(taught.assets) == dict(teacher.assets)
    assert taught.net == "cnn" and taught.task == teacher.task


def test_a_student_that_exists_learns_further_and_keeps_its_form(teacher, stripes):
    with session.using(Session()):
        student = train(stripes, net="mlp", epochs=1, precision="float32")
        taught = distil(teacher, stripes, student, epochs=4, rate=0.01, precision="float32")
    assert taught.net == "mlp" and taught.weights().keys() == student.weights().keys()
    assert apart(taught, teacher, stripes) < apart(student, teacher, stripes)


def test_a_student_of_other_labels_is_refused(teacher, stripes):
    other = teacher.with_weights(teacher.weights(), assets={**teacher.assets, "labels": ["c", "b", "a"]})
    with session.using(Session()), pytest.raises(UsageError, match="labels must be the teacher's"):
        distil(teacher, stripes, other, epochs=1)


@pytest.fixture(scope="module")
def speaker():
    data = texts(200)
    with session.using(Session()):
        teller = by_address("prepare.bpe")(data, size=280)
        made = by_address("pretrain.language")(
            data, teller, steps=60, max_tokens=32, batch_size=16, precision="float32",
            net_options={"depth": 2, "width": 64, "num_heads": 2},
        )  # fmt: skip
        return made, data


def test_a_language_model_learns_token_by_token_and_nears_its_teacher(speaker):
    model, data = speaker
    options = {"net": "gpt", "net_options": {"depth": 1, "width": 32, "num_heads": 1}, "temperature": 1.0,
               "optimizer": "muon_adamw", "epochs": 4, "batch_size": 8, "precision": "float32"}  # fmt: skip
    rows = feeds.rows_of(data, "validation", model.assets).whole()
    with session.using(Session()):
        alone, taught = (distil(model, data, distillation_share=share, **options) for share in (0.0, 1.0))
    assert taught.num_params < 0.6 * model.num_params and dict(taught.assets) == dict(model.assets)
    apart = [np.abs(answer.logits(one, rows) - answer.logits(model, rows)).mean() for one in (taught, alone)]
    assert apart[0] < apart[1]
    assert taught.generate("moss on", temperature=0, max_new_tokens=4)


def test_a_student_of_other_tokens_or_with_maps_of_texts_is_refused(speaker):
    model, data = speaker
    with session.using(Session()):
        with pytest.raises(UsageError, match="through one tokenizer"):
            distil(model, data, drawn(), epochs=1)
        with pytest.raises(UsageError, match="texts have no feature maps"):
            distil(model, data, net="gpt", features="hints", epochs=1)
