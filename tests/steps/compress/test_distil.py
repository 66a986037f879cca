"""test_distil: a student nears its teacher, more than labels alone bring it there."""

import numpy as np
import pytest

from lichen.core import session
from lichen.core.errors import UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine import answer

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
