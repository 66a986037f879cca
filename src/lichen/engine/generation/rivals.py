"""rivals: two nets that learn against each other, saved and put back together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core.progress import Run
from lichen.engine.modules.backend import array_of, tensor_of
from lichen.engine.training.trainee import Trainee


def checkpoint(run: Run, sides: Mapping[str, Trainee], about: Mapping[str, Any]) -> None:
    """Saves both, where it is time to."""
    if run.wants_checkpoint():
        state = {**about, **{name: side.counters for name, side in sides.items()}}
        run.checkpoint(state, {f"{name}/{key}": array_of(tensor) for name, side in sides.items()
                               for key, tensor in side.tensors().items()})  # fmt: skip


def restore(
    run: Run, sides: Mapping[str, Trainee], state: Mapping[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Puts a checkpoint back."""
    for name, side in sides.items():
        held = {key.removeprefix(f"{name}/"): tensor_of(array).to(run.device)
                for key, array in arrays.items() if key.startswith(f"{name}/")}  # fmt: skip
        side.restore(state[name], held)
