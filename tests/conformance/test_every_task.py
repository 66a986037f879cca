"""test_every_task: what every file of `tasks/` must do; a new one is tested on the day it lands."""

import numpy as np
import pytest
import torch

from lichen.core import find
from lichen.core.array import Array
from lichen.core.errors import DataError
from lichen.data import arrays

TASKS = sorted(find.shelf("tasks"))
FROM_ROWS = [name for name in TASKS if hasattr(find.load(f"lichen.tasks.{name}:TASK"), "blank_loss")]
"""Tasks whose nets learn what a row's target is; a generator learns against a discriminator."""


def task_of(name):
    return find.load(f"lichen.tasks.{name}:TASK")


def rows(task, num=60, seed=0):
    """Rows of the kind and form that a task accepts: texts or pictures, with classes or several labels."""
    draws = np.random.Generator(np.random.Philox(seed))
    if "text" in task.columns:
        texts = [f"{'xyz'[row % 3]} number {row}" for row in range(num)]
        return arrays.texts(texts, np.arange(num) % 3, labels=["a", "b", "c"])
    images = draws.integers(0, 256, (num, 3, 8, 8)).astype("uint8")
    for targets in (np.arange(num) % 3, draws.integers(0, 2, (num, 3))):
        data = arrays.arrays(images, targets, labels=["a", "b", "c"])
        try:
            task.check(data, "train")
        except DataError:
            continue
        return data
    raise AssertionError(f"{task.name} accepts no rows that this suite knows")


def learnt(task, split, num_outputs):
    """Outputs that the task's own loss calls good, by following its gradient."""
    outputs = torch.zeros(len(split.targets), num_outputs, requires_grad=True)
    targets = torch.from_numpy(split.targets.copy())
    for _ in range(60):
        (gradient,) = torch.autograd.grad(task.loss(outputs, targets).sum(), outputs)
        outputs = (outputs - 2.0 * gradient).detach().requires_grad_()
    return outputs.detach().numpy()


@pytest.mark.parametrize("name", TASKS)
def test_it_says_what_it_is(name):
    task = task_of(name)
    assert task.name == name
    assert isinstance(task.higher_is_better, bool)
    assert task.columns


@pytest.mark.parametrize("name", FROM_ROWS)
def test_its_loss_is_per_row_and_learnable(name):
    task = task_of(name)
    data = rows(task)
    outputs = torch.zeros(6, task.num_outputs(data), requires_grad=True)
    loss = task.loss(outputs, torch.from_numpy(data.rows("train").targets[:6].copy()))
    assert loss.shape == (6,)
    loss.sum().backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("name", FROM_ROWS)
def test_nothing_is_learnt_from_targets_that_favour_nothing(name):
    """From the outputs of no information no direction lowers the loss against them."""
    task = task_of(name)
    outputs = torch.zeros(2, task.num_outputs(rows(task)), requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(task.blank_loss(outputs).sum(), outputs)
        outputs = (outputs - gradient).detach().requires_grad_()
    _, answers = task.score(outputs.detach().numpy(), rows(task).rows("train").targets[:2])
    assert answers["confidence"].numpy().max() < 0.6


@pytest.mark.parametrize("name", FROM_ROWS)
def test_right_answers_beat_wrong_ones_and_intervals_hold_the_figure(name):
    task = task_of(name)
    data = rows(task)
    split = data.rows("train")
    right = learnt(task, split, task.num_outputs(data))
    (good, answers), (bad, _) = task.score(right, split.targets), task.score(-right, split.targets)
    sign = 1 if task.higher_is_better else -1
    assert sign * good[task.headline]["value"] > sign * bad[task.headline]["value"]
    for metric in good.values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert {"outcome", "truth", "answer"} <= set(answers)
    assert all(
        isinstance(array, Array) and array.shape[0] == len(split.targets) for array in answers.values()
    )


@pytest.mark.parametrize("name", FROM_ROWS)
def test_it_replies_once_per_row_in_words(name):
    task = task_of(name)
    data = rows(task)
    assets = task.assets(data)
    replies = task.reply(np.eye(task.num_outputs(data), dtype="float32"), assets)
    assert len(replies) == task.num_outputs(data)
    assert all(isinstance(reply, dict) and reply for reply in replies)


@pytest.mark.parametrize("name", TASKS)
def test_its_assets_are_json_read_off_train_alone(name):
    from lichen.core.digest import canonical

    data = rows(task_of(name))
    assets = task_of(name).assets(data)
    assert canonical(assets) == canonical(task_of(name).assets(data.opened(("train",))))
