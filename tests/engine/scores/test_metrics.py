"""test_metrics: figures equal scikit-learn's, intervals cover."""

import numpy as np
import pytest
from sklearn import metrics as reference

from lichen.core import form
from lichen.core.scores import Scores
from lichen.engine.scores import metrics


@pytest.fixture
def outputs():
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 4, 300)
    return rng.normal(size=(300, 4)).astype(np.float32) + 2 * np.eye(4)[targets], targets


def test_figures_equal_an_independent_reference(outputs):
    logits, truth = outputs
    probabilities = metrics.softmax(logits)
    found = metrics.of_classes(probabilities, metrics.row_losses(logits, truth), truth)
    answers = logits.argmax(1)
    assert found["accuracy"]["value"] == reference.accuracy_score(truth, answers)
    assert found["balanced_accuracy"]["value"] == pytest.approx(
        reference.balanced_accuracy_score(truth, answers)
    )
    assert found["macro_f1"]["value"] == pytest.approx(reference.f1_score(truth, answers, average="macro"))
    assert found["log_loss"]["value"] == pytest.approx(reference.log_loss(truth, probabilities))
    for figure in found.values():
        assert figure["low"] < figure["value"] < figure["high"]


def test_wilson_is_its_closed_form():
    # Newcombe 1998, table I: 81 of 263.
    figure = metrics.proportion(81, 263)
    assert (round(figure["low"], 4), round(figure["high"], 4)) == (0.2553, 0.3662)
    assert metrics.proportion(10, 10)["high"] == 1.0 and metrics.proportion(0, 10)["low"] == 0.0


def test_calibration_error_is_the_gap_of_its_bins():
    confidence = np.full(100, 0.9)
    assert metrics.calibration_error(confidence, np.arange(100) < 70)["value"] == pytest.approx(0.2)


def test_the_interval_covers_about_95_of_100_samples():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        truth = rng.integers(0, 3, 150)
        answers = np.where(rng.random(150) < 0.7, truth, (truth + 1) % 3)
        figure = metrics._of_pairs(truth, answers, metrics._balanced)
        covered += figure["low"] <= 0.7 <= figure["high"]
    assert covered >= 51


def test_the_interval_of_losses_covers_and_stays_above_0():
    """Losses of a good net: most near 0, few large. The plain normal interval reaches below 0 here."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        losses = rng.lognormal(-3.0, 1.5, 100)
        figure = metrics.positive_mean(losses)
        assert 0.0 < figure["low"] < figure["value"] < figure["high"]
        covered += figure["low"] <= np.exp(-3.0 + 1.5**2 / 2) <= figure["high"]
    assert covered >= 170
    few = np.asarray([0.0, 0.0, 0.0, 1.0])
    assert few.mean() - 1.96 * few.std(ddof=1) / 2 < 0.0 < metrics.positive_mean(few)["low"]


def needs_both(outputs, targets):
    """A metric that rows of one class alone do not have."""
    return float(outputs.mean()) if targets.any() else float("nan")


def test_replicates_without_a_figure_narrow_no_interval():
    draws = np.random.default_rng(0)
    outputs, targets = draws.random(40), (np.arange(40) < 2).astype(int)
    found = metrics.bootstrap(needs_both, outputs, targets)
    assert found["high"] - found["low"] > 0.1 and found["low"] < outputs.mean() < found["high"]


def test_where_most_replicates_have_no_figure_there_is_no_interval():
    replicates = np.array([0.5] * 20 + [np.nan] * 30)
    found = metrics.bootstrapped(0.5, replicates)
    assert np.isnan(found["low"]) and np.isnan(found["high"])
    scores = Scores.build(subject="a", data="b", split="test", num_rows=2, headline="f", metrics={"f": found},
                          answers={})  # fmt: skip
    assert scores.bounds == (None, None) and np.isnan(scores.interval).all()
    assert (
        scores.digest
        and scores.facts()["f"] == "0.5000"
        and not form.fit(scores.manifest, form.FORMS["scores"])
    )
