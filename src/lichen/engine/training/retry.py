"""retry: after numbers that are none, training goes back to where all was well, at half the rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lichen.core.errors import DivergedError
from lichen.core.progress import Run
from lichen.engine.training.job import Fault
from lichen.engine.training.trainee import Trainee

RETRIES = 3


def go_back(
    trainee: Trainee,
    anchor: tuple[Mapping[str, Any], Mapping[str, Tensor]],
    fault: Fault,
    *,
    peak_rate: float,
    run: Run,
) -> None:
    """Back to the anchor with half the rate.

    Raises:
        DivergedError: that was tried often enough.
    """
    retries, scale = trainee.counters["retries"] + 1, trainee.counters["rate_scale"] / 2
    if retries > RETRIES:
        raise DivergedError(
            f"the loss became {fault.loss} at step {fault.step} with rate {fault.rate:.3g}, "
            f"after {RETRIES} retries",
            hint=f"try a rate below {peak_rate * scale:.1g}, warmup, or clip=1.0",
        )
    back_to, name = anchor[0]["step"], f"retry_{retries}"
    choice = run.decide(name, lambda: {"step": fault.step, "back_to": back_to, "rate_scale": scale})
    run.emit(
        "warning", text=f"loss {fault.loss} at step {fault.step}: back to step {back_to} at half the rate"
    )
    decisions = {**trainee.counters["decisions"], name: choice}
    trainee.restore(*anchor)
    trainee.counters.update(retries=retries, rate_scale=scale, decisions=decisions)
