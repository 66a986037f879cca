"""Figures have intervals that cover, and come from a net that is named."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.core.session import Session, using
from lichen.engine.generation import fidelity, kernels


def test_every_figure_lies_in_its_interval_and_tells_noise_from_the_real():
    draws = np.random.default_rng(0)
    real, alike, other = draws.normal(size=(3, 200, 6)) + np.array([0, 0, 1.0])[:, None, None]
    good, bad = fidelity.figures(real, alike), fidelity.figures(real, other)
    for figure in (*good.values(), *bad.values()):
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert bad["fid"]["low"] > good["fid"]["high"] and bad["kid"]["low"] > good["kid"]["high"]
    assert good["kid"]["low"] < 0 < good["kid"]["high"]


@pytest.mark.slow
def test_intervals_of_the_kernel_distance_cover_as_often_as_they_say():
    draws, num_covered = np.random.default_rng(1), 0
    many = draws.normal(size=(200, 2, 60, 2)) + np.array([0, 0.4])[:, None, None]
    truth = np.mean([kernels.distance(x, y) for x, y in many])  # it has no bias

    def distance(x, y):
        return lambda real, made: {"kid": kernels.distance(x[real], y[made])}

    for x, y in many[:100]:
        found = fidelity.jackknifed(distance(x, y), 60, 60)["kid"]
        num_covered += found["low"] <= truth <= found["high"]
    assert num_covered >= 85, "95 of 100, less what few rows and a skewed figure cost"


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="60 rows of each side"):
        fidelity.figures(np.zeros((50, 2)), np.zeros((80, 2)))


def test_features_are_what_the_head_is_given():
    with using(Session()):
        data = li.load("digits", num_train=80)
        model = li.pretrain.train(data, net="mlp", epochs=1)
    pixels = data.rows("validation").images
    found = fidelity.features(model, pixels)
    module = model.torch()
    head = module.head(fidelity.torch.from_numpy(found)).detach().numpy()
    assert head.argmax(1).tolist() == [int(answer["label"]) for answer in model.predict(list(pixels))]
    with pytest.raises(UsageError, match="takes \\[1, 8, 8\\]"):
        fidelity.features(model, np.zeros((2, 3, 8, 8), np.uint8))
