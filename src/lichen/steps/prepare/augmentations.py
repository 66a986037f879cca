"""augmentations: which augmentation becomes something to act in: an operation per step, then a training.

Paper: Cubuk et al. 2019, "AutoAugment".
"""

from __future__ import annotations

from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.schema import Count
from lichen.core.session import current
from lichen.core.step import step
from lichen.data import environments
from lichen.engine.search import games
from lichen.engine.search.hunt import Hunt


@step(splits=("train", "validation"))
def augmentations(model: Model, data: Dataset, *, epochs: Count = 1) -> Environment:
    """Makes the choice of `augment.policy` an environment: an episode is a training, and earns its headline.

    Args:
        model: made by a life that has an `augment.policy` and, after it, a step with epochs.
        data: whose validation half is what the training is judged on; the other half stays unseen.
        epochs: of that training, which is replayed with other operations.

    Raises:
        UsageError: the life has no policy or no training.
    """
    if model.made is None:
        raise UsageError(f"{model!r} was not made by recorded steps, so there is no training to replay")
    Hunt(model.made, data, current())  # says what is missing before anything learns
    options = {"model": games.hold(model), "data": games.hold(data), "epochs": epochs}
    return environments.look_at("lichen.engine.search.augmentations:Augmentations", options, [])
