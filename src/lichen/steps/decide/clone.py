"""clone: learn to do what was done, from a record of what was seen and done; nothing is earned or tried.

Paper: Pomerleau 1989.
"""

from __future__ import annotations

from typing import Literal

import torch

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Natural, Net, Positive, Seed
from lichen.core.step import step
from lichen.engine.decision.policy import TASK
from lichen.engine.inputs import feeds
from lichen.engine.modules import architecture, backend
from lichen.engine.task import task_of
from lichen.engine.training import supervised
from lichen.engine.training.job import Settings
from lichen.engine.training.lesson import Lesson


@step(splits=("train", "validation"), without=None)
def clone(
    data: Dataset,
    *,
    net: Net = "mlp",
    net_options: dict | None = None,
    epochs: Count = 10,
    batch_size: Count | None = None,
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "adam",
    rate: Positive | None = None,
    patience: Natural | None = None,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Trains a policy on logged data, discrete or continuous actions alike.

    Args:
        net_options: what the net's builder takes, such as {"width": 64}.
        epochs: over the train rows.
        patience: epochs without a better agreement on validation before it stops; the best epoch is kept.
    """
    task = task_of(TASK)
    task.check(data, "train")
    assets = task.assets(data)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = architecture.build(net, net_options or {}, feeds.in_shape(assets), task.num_outputs(data))
    settings = Settings(
        epochs=epochs, optimizer=optimizer, rate=rate, weight_decay=0.0, patience=patience,
        precision="float32", seed=seed,
    )  # fmt: skip
    num_judged = supervised.num_judged(data) if patience is None else None
    lesson = Lesson(task=task, data=data, assets=assets, batch_size=batch_size, num_judged=num_judged)
    lesson.fit(module, settings, run=run, about={"net": net})
    return backend.wrap(module.to("cpu"), task=TASK, assets=assets)
