"""evaluate: scores of a Model or Program on one split."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.protocols import Decoded
from lichen.core.scores import Scores
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.scores import metrics
from lichen.engine.task import task_of
from lichen.engine.training import supervised


def score(
    value: Model | Program,
    data: Dataset,
    split: str,
    *,
    metric: Callable[..., float] | None = None,
    device: str = "cpu",
    batch_size: int = answer.BATCH_SIZE,
) -> Scores:
    """Answers every row of a split and scores the answers.

    Args:
        metric: (outputs, targets) -> number on numpy arrays, where texts are told on those and the wanted
            ones; it becomes the headline. A false `higher_is_better` on it says that less is better.

    Raises:
        UsageError: the data's labels are not the model's, or the metric gives no finite number.
        LeakError: the split may not be opened here.
    """
    task = task_of(value.task)
    task.check(data, split)
    rows: Any = feeds.rows_of(data, split, value.assets)
    images = supervised.whole(rows, value.assets)
    outputs = answer.logits(value, images, batch_size, device=device)
    judged: tuple[Any, Any] = outputs, rows.targets
    if isinstance(task, Decoded):
        said = answer.said(value, images, device=device)
        figures, answers = task.judge(outputs, rows.targets, said, rows.wanted)
        judged = np.array(said), np.array(rows.wanted)
    else:
        figures, answers = task.score(outputs, rows.targets)
    headline, higher = task.headline, task.higher_is_better
    if metric is not None:
        headline, higher = supervised.metric_name(metric), getattr(metric, "higher_is_better", True)
        found = metrics.bootstrap(metric, *judged)
        if not math.isfinite(found["value"]):
            raise UsageError(f"`{headline}` must give a number of these rows, not {found['value']}")
        figures = {headline: found, **figures}
    return Scores.build(
        subject=value.digest, data=data.identity((split,)), split=split, num_rows=answers["outcome"].shape[0],
        headline=headline, higher_is_better=higher, metrics=figures, answers=answers,
    )  # fmt: skip
