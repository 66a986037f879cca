"""several: figures of rows with several labels equal scikit-learn's, and their intervals cover the truth."""

import numpy as np
import pytest
from sklearn import metrics as reference

from lichen.engine.scores import several


def table(num=400, labels=6, seed=0, ties=False):
    draws = np.random.default_rng(seed)
    truth = (draws.random((num, labels)) < np.linspace(0.05, 0.6, labels)).astype(np.uint8)
    p = 1 / (1 + np.exp(-(draws.normal(size=truth.shape) + 2.0 * truth - 1.0)))
    return (np.round(p, 1) if ties else p), truth


def found(p, truth):
    return several.figures(p, np.ones(len(p)), truth)


@pytest.mark.parametrize("ties", [False, True])
def test_figures_are_those_of_an_independent_implementation(ties):
    p, truth = table(ties=ties)
    answer, ours = (p > 0.5).astype(int), found(p, truth)
    for name, average in (("sample_f1", "samples"), ("micro_f1", "micro"), ("macro_f1", "macro")):
        theirs = reference.f1_score(truth, answer, average=average, zero_division=1.0)
        assert ours[name]["value"] == pytest.approx(theirs), name
    assert ours["mean_average_precision"]["value"] == pytest.approx(
        reference.average_precision_score(truth, p, average="macro")
    )
    assert ours["subset_accuracy"]["value"] == pytest.approx(reference.accuracy_score(truth, answer))
    for figure in ours.values():
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_a_label_that_no_row_has_is_left_out_of_the_mean():
    p, truth = table()
    truth[:, 2] = 0
    others = [0, 1, 3, 4, 5]
    assert found(p, truth)["mean_average_precision"]["value"] == pytest.approx(
        reference.average_precision_score(truth[:, others], p[:, others], average="macro")
    )


def test_rows_without_any_label_are_right_where_none_is_said():
    truth = np.zeros((4, 3), np.uint8)
    ours = found(np.full((4, 3), 0.1), truth)
    assert ours["sample_f1"]["value"] == ours["micro_f1"]["value"] == 1.0
    assert ours["mean_average_precision"]["value"] == 0.0


@pytest.mark.parametrize("name", ["micro_f1", "macro_f1", "mean_average_precision", "sample_f1"])
def test_intervals_cover_the_figure_of_many_rows_about_95_times_of_100(name):
    whole = found(*table(20_000, seed=99))[name]["value"]
    covered = 0
    for seed in range(60):
        figure = found(*table(300, seed=seed))[name]
        covered += figure["low"] <= whole <= figure["high"]
    assert covered >= 52


def test_probabilities_that_are_right_are_called_calibrated_and_planted_confidence_is_seen():
    draws = np.random.default_rng(0)
    p = draws.random((5000, 4))
    truth = (draws.random(p.shape) < p).astype(np.uint8)
    assert found(p, truth)["calibration_error"]["value"] < 0.02
    assert found((p > 0.5) * 0.98 + 0.01, truth)["calibration_error"]["value"] > 0.2
