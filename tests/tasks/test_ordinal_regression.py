"""ordinal_regression: conditional losses as in the paper, ranks that never cross, errors with their size."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch.nn import functional

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.tasks.ordinal_regression import TASK, _answers


def corn(z, y):
    """The paper's loss in its own words: per task the rows that reached it, summed and not averaged."""
    total = torch.zeros(len(z))
    for k in range(z.shape[1]):
        for row in range(len(z)):
            if y[row] >= k:
                is_above = torch.tensor(float(y[row] > k))
                total[row] += functional.binary_cross_entropy_with_logits(z[row, k], is_above)
    return total


def test_the_loss_is_the_papers_and_minus_log_of_the_probability():
    z, y = torch.randn(40, 4), torch.arange(40) % 5
    torch.testing.assert_close(TASK.loss(z, y), corn(z, y))
    _, p = _answers(z.numpy())
    np.testing.assert_allclose(TASK.loss(z, y).numpy(), -np.log(p[np.arange(40), y.numpy()]), rtol=1e-4)
    torch.testing.assert_close(TASK.loss(z, functional.one_hot(y, 5).float()), TASK.loss(z, y))


def test_probabilities_sum_to_one_and_being_above_never_becomes_likelier():
    _, p = _answers(np.random.default_rng(0).normal(size=(200, 6)) * 5)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert (p >= -1e-12).all()


def test_figures_are_those_of_an_independent_implementation():
    draws = np.random.default_rng(0)
    y, z = draws.integers(0, 5, 300), draws.normal(size=(300, 4))
    scored, answers = TASK.score(z, y)
    said = answers["answer"].numpy()
    assert scored["mean_absolute_error"]["value"] == pytest.approx(reference.mean_absolute_error(y, said))
    assert scored["accuracy"]["value"] == pytest.approx(reference.accuracy_score(y, said))
    kappa = reference.cohen_kappa_score(y, said, weights="quadratic")
    assert scored["weighted_kappa"]["value"] == pytest.approx(kappa)
    assert answers["outcome"].numpy().mean() == pytest.approx(scored["mean_absolute_error"]["value"])


def blurred(num=400, grades=5):
    """Digits, each blurred by one of five degrees: how blurred they are is an order, not a class."""
    source = li.load("digits", validation=0.3, num_train=num)
    parts = [source.rows(split) for split in ("train", "validation")]
    images = torch.from_numpy(np.concatenate([rows.images for rows in parts])).float()
    grade = torch.arange(len(images)) % grades
    out = torch.empty_like(images)
    for k in range(grades):
        x = images[grade == k]
        for _ in range(k):
            x = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        out[grade == k] = x
    splits = ["train"] * parts[0].num_rows + ["validation"] * parts[1].num_rows
    return li.arrays(
        out.round().to(torch.uint8), grade, labels=list("abcde"), splits=splits, duplicates="drop"
    )


def test_it_learns_an_order_its_programs_answer_alike_and_calibration_is_refused():
    with using(Session(store=None)):
        data = blurred()
        model = li.pretrain.train(data, net="mlp", task="ordinal_regression", epochs=25, optimizer="adamw",
                                  rate=0.003, precision="float32", label_smoothing=0.02)  # fmt: skip
        assert model.options["num_outputs"] == 4
        scores = li.evaluate(model, data)
        assert scores.headline == "mean_absolute_error" and scores.value < 0.5
        program = li.deploy.export(model, data, format="onnx", runtime="onnxruntime")
        assert li.evaluate(program, data).value == pytest.approx(scores.value, abs=0.02)
        reply = program.predict(data.rows("validation").images[:2])[0]
        assert reply["label"] in "abcde" and len(reply["top"]) == 5
        with pytest.raises(UsageError, match="temperature changes answers"):
            li.adapt.calibrate(model, data)
