"""resume: the state of a killed run, kept at checkpoints and put back bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from lichen.core.array import Array
from lichen.engine.modules.backend import array_of, tensor_of
from lichen.engine.training.job import Job
from lichen.engine.training.trainee import Trainee


def keep(job: Job, trainee: Trainee) -> None:
    """Keeps the state and the anchor: a resumed run must go back to the same place."""
    if not job.run.wants_checkpoint():
        return
    state = {"now": trainee.counters, "anchor": job.anchor[0], "execution": asdict(job.execution)}
    arrays = {f"now/{name}": array_of(tensor) for name, tensor in trainee.tensors().items()}
    arrays.update({f"anchor/{name}": array_of(tensor) for name, tensor in job.anchor[1].items()})
    job.run.checkpoint(state, arrays)


def go_on(job: Job, trainee: Trainee, state: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Puts a checkpoint back, and takes the decisions that were made before it again as they were."""
    tensors = {name: tensor_of(array).to(job.run.device) for name, array in arrays.items()}
    sides = {side: {name.removeprefix(f"{side}/"): tensor for name, tensor in tensors.items()
                    if name.startswith(f"{side}/")} for side in ("now", "anchor")}  # fmt: skip
    trainee.restore(state["now"], sides["now"])
    job.anchor = (state["anchor"], sides["anchor"])
    for name in trainee.counters["decisions"]:
        job.run.decide(name, partial(trainee.counters["decisions"].get, name))
