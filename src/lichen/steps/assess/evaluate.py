"""evaluate: measure quality on a split, with intervals; test opens only here."""

from __future__ import annotations

from typing import Literal

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Function
from lichen.core.scores import Scores
from lichen.core.step import step
from lichen.engine.evaluate import score


@step(splits="split", without=None)
def evaluate(
    model: Model | Program,
    data: Dataset,
    *,
    split: Literal["train", "validation", "test"] = "validation",
    metric: Function | None = None,
    run: Run,
) -> Scores:
    """Scores a Model or Program on one split.

    Args:
        metric: (outputs, targets) -> number on numpy arrays; it becomes the headline.
    """
    return score(model, data, split, metric=metric, device=run.device)
