"""test_every_task: what every file of `tasks/` must do; a new one is tested on the day it lands."""

import numpy as np
import pytest
import torch

from lichen.core import find
from lichen.core.array import Array
from lichen.data import arrays

TASKS = sorted(find.shelf("tasks"))


def task_of(name):
    return find.load(f"lichen.tasks.{name}:TASK")


def rows(num=60, seed=0):
    draws = np.random.Generator(np.random.Philox(seed))
    targets = np.arange(num) % 3
    images = draws.integers(0, 256, (num, 3, 8, 8)).astype("uint8")
    return arrays.arrays(images, targets, labels=["a", "b", "c"])


@pytest.mark.parametrize("name", TASKS)
def test_it_says_what_it_is(name):
    task = task_of(name)
    assert task.name == name
    assert isinstance(task.higher_is_better, bool)
    assert task.columns


@pytest.mark.parametrize("name", TASKS)
def test_its_loss_is_per_row_and_learnable(name):
    task, data = task_of(name), rows()
    outputs = torch.zeros(6, task.num_outputs(data), requires_grad=True)
    loss = task.loss(outputs, torch.arange(6) % 3)
    assert loss.shape == (6,)
    loss.sum().backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("name", TASKS)
def test_right_answers_beat_wrong_ones_and_intervals_hold_the_figure(name):
    task, data = task_of(name), rows()
    split = data.rows("train")
    right = np.eye(task.num_outputs(data), dtype="float32")[split.targets] * 9
    (good, answers), (bad, _) = task.score(right, split.targets), task.score(-right, split.targets)
    sign = 1 if task.higher_is_better else -1
    assert sign * good[task.headline]["value"] > sign * bad[task.headline]["value"]
    for metric in good.values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert {"outcome", "truth", "answer"} <= set(answers)
    assert all(
        isinstance(array, Array) and array.shape[0] == len(split.targets) for array in answers.values()
    )


@pytest.mark.parametrize("name", TASKS)
def test_it_replies_once_per_row_in_words(name):
    task, data = task_of(name), rows()
    assets = task.assets(data)
    replies = task.reply(np.eye(task.num_outputs(data), dtype="float32"), assets)
    assert len(replies) == task.num_outputs(data)
    assert all(isinstance(reply, dict) and reply for reply in replies)


@pytest.mark.parametrize("name", TASKS)
def test_its_assets_are_json_read_off_train_alone(name):
    from lichen.core.digest import canonical

    data = rows()
    assets = task_of(name).assets(data)
    assert canonical(assets) == canonical(task_of(name).assets(data.opened(("train",))))
