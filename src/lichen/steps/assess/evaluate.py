"""evaluate: measure quality on a split of data or of seeds, with intervals; test opens only here."""

from __future__ import annotations

from typing import Literal

from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import OptionError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Count, Function
from lichen.core.scores import Scores
from lichen.core.step import step
from lichen.engine.evaluate import score


@step(splits="split", without=None)
def evaluate(
    model: Model | Program,
    data: Dataset | Environment,
    *,
    split: Literal["train", "validation", "test"] = "validation",
    metric: Function | None = None,
    episodes: Count = 100,
    run: Run,
) -> Scores:
    """Scores a Model or Program on one split of data, or a policy in an environment.

    Args:
        split: of an environment, seeds that no other split has.
        metric: (outputs, targets) -> number on numpy arrays; it becomes the headline.
        episodes: that a policy acts through, greedily; data have none.
    """
    if isinstance(data, Environment):
        if metric is not None:
            raise OptionError("an environment has its own metric, the return", hint="leave `metric` out")
        return data.play(model, split=split, episodes=episodes, device=run.device)
    return score(model, data, split, metric=metric, device=run.device)
