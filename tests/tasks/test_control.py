"""test_control: agreement of discrete and continuous actions, and what a policy replies."""

import numpy as np
import pytest
import torch

from lichen.core.errors import DataError
from lichen.data import arrays, observations
from lichen.tasks.control import TASK

RANGE = {"low": [-2.0, 0.0], "high": [2.0, 10.0]}


def continuous(num=40):
    draws = np.random.default_rng(0)
    seen = {split: draws.standard_normal((num, 3)) for split in ("train", "validation")}
    return observations.dataset(seen, {split: draws.uniform(-1, 1, (num, 2)) for split in seen}, **RANGE)


def test_agreement_is_one_for_the_same_and_falls_by_half_the_range():
    targets = continuous().rows("train").targets
    assert TASK.figures(targets, targets) == {"agreement": 1.0, "squared_error": 0.0}
    opposite = np.where(targets > 0, -1.0, 1.0).astype(np.float32)
    away = TASK.score(opposite, targets)[0]["agreement"]
    assert away["value"] == pytest.approx(1 - np.abs(opposite - targets).mean() / 2)
    assert away["low"] < away["value"] < away["high"]


def test_the_loss_of_continuous_actions_is_their_squared_error():
    outputs, targets = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]])
    assert TASK.loss(outputs, targets).tolist() == [pytest.approx((0.25 + 1.0) / 2)]


def test_replies_name_the_action_or_lie_in_its_range():
    assets = TASK.assets(continuous())
    replies = TASK.reply(np.array([[0.0, 1.0], [-9.0, -0.5]], np.float32), assets)
    assert [row["action"] for row in replies] == [[0.0, 10.0], [-2.0, 2.5]]
    (told,) = TASK.reply(np.array([[0.1, 0.7]]), {"labels": ["left", "right"]})
    assert told == {"label": "right", "action": 1, "outputs": [0.1, 0.7]}


def test_data_of_pictures_are_refused():
    images = np.zeros((20, 1, 4, 4), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None]
    with pytest.raises(DataError, match="saw and did"):
        TASK.check(arrays.arrays(images, np.arange(20) % 2), "train")
