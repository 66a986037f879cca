"""test_every_task: what every file of `tasks/` must do; a new one is tested on the day it lands."""

import numpy as np
import pytest
import torch

from lichen.core import find
from lichen.core.array import Array
from lichen.core.errors import DataError, OptionError
from lichen.core.protocols import Decoded, SelfSupervised
from lichen.data import arrays, observations

TASKS = sorted(find.shelf("tasks"))
NUM_TOKENS = 20


def task_of(name):
    return find.load(f"lichen.tasks.{name}:TASK")


def blank(task, num_rows, data):
    """Outputs of no information: of a row, or of each of its tokens."""
    if isinstance(task, SelfSupervised):
        return torch.zeros(num_rows, 4, NUM_TOKENS)
    return torch.zeros(num_rows, task.num_outputs(data))


def targets_of(task, data):
    """What a task's loss is told of the first rows."""
    if isinstance(task, SelfSupervised):
        return torch.arange(6 * 4).reshape(6, 4) % NUM_TOKENS
    return torch.from_numpy(data.rows("train").targets[:6].copy())


FROM_ROWS = [name for name in TASKS if hasattr(task_of(name), "blank_loss")]
"""Tasks whose nets learn what a row holds; a generator learns against a discriminator."""
OTHERS = [name for name in TASKS if isinstance(task_of(name), SelfSupervised)]
TOLD = [name for name in OTHERS if not isinstance(task_of(name), Decoded)]
"""Tasks whose headline is of what is kept of each token; that of others is of texts that were told."""
SUPERVISED = [name for name in TASKS if name in FROM_ROWS and name not in OTHERS]


def rows(task, num=60, seed=0):
    """Rows of the kind and form that a task accepts: texts, observations, or pictures with their labels."""
    draws = np.random.Generator(np.random.Philox(seed))
    if "target" in task.columns:
        return arrays.bitext([f"row {row}" for row in range(num)], [f"Zeile {row}" for row in range(num)])
    if "text" in task.columns:
        texts = [f"{'xyz'[row % 3]} number {row}" for row in range(num)]
        return arrays.texts(texts, np.arange(num) % 3, labels=["a", "b", "c"])
    if "features" in task.columns:
        return arrays.table(
            {"x": draws.standard_normal(num).tolist()}, np.arange(num) % 3, labels=["a", "b", "c"]
        )
    if "observation" in task.columns:
        seen = draws.standard_normal((num, 4)).astype("float32")
        parts = {"train": slice(0, num), "validation": slice(0, num // 3)}
        return observations.dataset(
            {name: seen[rows] + (name == "validation") for name, rows in parts.items()},
            {name: (np.arange(num) % 3)[rows] for name, rows in parts.items()}, labels=["a", "b", "c"],
        )  # fmt: skip
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
    outputs = blank(task, 6, data).requires_grad_()
    loss = task.loss(outputs, targets_of(task, data))
    assert loss.shape == (6,)
    loss.sum().backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("name", SUPERVISED)
def test_nothing_is_learnt_from_targets_that_favour_nothing(name):
    """From the outputs of no information no direction lowers the loss against them."""
    task = task_of(name)
    outputs = torch.zeros(2, task.num_outputs(rows(task)), requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(task.blank_loss(outputs).sum(), outputs)
        outputs = (outputs - gradient).detach().requires_grad_()
    _, answers = task.score(outputs.detach().numpy(), rows(task).rows("train").targets[:2])
    assert answers["confidence"].numpy().max() < 0.6


@pytest.mark.parametrize("name", TOLD)
def test_what_is_kept_of_each_token_scores_right_answers_above_wrong_ones(name):
    """Tokens are told with a lead in the logits, or against one; two documents lie in each row."""
    task, draws = task_of(name), np.random.default_rng(0)
    rows_BT = torch.from_numpy(draws.integers(1, NUM_TOKENS, (6, 5)))
    told_BTV = torch.nn.functional.one_hot(rows_BT[:, 1:], NUM_TOKENS).float()
    targets = np.stack([np.arange(6)[:, None] * 2 + np.arange(4) // 2, np.ones((6, 4), int)], -1)
    scores = {}
    for lead in (0.0, 4.0, -4.0):
        kept = task.kept(lead * told_BTV, rows_BT, {})
        assert kept.shape == (6, 4)
        scores[lead], answers = task.score(kept.numpy(), targets)
        figures = task.figures(kept.numpy(), targets)
        assert figures[task.headline] == pytest.approx(scores[lead][task.headline]["value"])
        assert answers["outcome"].shape == (12,)
        assert answers["outcome"].numpy().mean() == pytest.approx(figures[task.headline], rel=1e-5)
        for metric in scores[lead].values():
            assert metric["low"] <= metric["value"] <= metric["high"]
        assert len(task.reply(kept.numpy(), {})) == 6
    right, blank_, wrong = (scores[lead][task.headline]["value"] for lead in (4.0, 0.0, -4.0))
    assert (right < blank_ < wrong) != task.higher_is_better


@pytest.mark.parametrize("name", SUPERVISED)
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


@pytest.mark.parametrize("name", SUPERVISED)
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


@pytest.mark.parametrize("name", [name for name in TASKS if "image" not in task_of(name).columns])
def test_what_only_pictures_have_is_refused_of_other_rows(name):
    task = task_of(name)
    for given in ({"image_size": 8}, {"normaliser": ([0.5], [0.5])}):
        with pytest.raises(OptionError, match="have neither image_size nor normaliser"):
            task.assets(rows(task), **given)
