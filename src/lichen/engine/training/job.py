"""job: what stays the same during one run of the training loop, and the point that faults go back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from lichen.core.progress import Run
from lichen.data.batches import Epochs
from lichen.engine.training.execution import Execution, Objective
from lichen.engine.training.gradient import Gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train: `rate` None is the usual one, `warmup` is in epochs, `ema` that of the average.

    Args:
        parts: shares of the rate by part of the net, beside `layer_decay`.
        gradual: the share of the epochs over which layers join the training, the last first; 0: at once.
        units: whether rates and decay are counted per `step`, or per 1 024 `rows`.
        lookahead: steps between two halvings of the way.
        cooldown: the share of the steps over which the schedule `wsd` falls to 0.
    """

    epochs: int
    optimizer: str = "sgd"
    rate: float | None = None
    weight_decay: float = 5e-4
    momentum: float = 0.9
    layer_decay: float = 1.0
    parts: Mapping[str, float] = field(default_factory=dict)
    gradual: float = 0.0
    bias_rate: float | None = None
    head_rate: float | None = None
    table_rate: float | None = None
    units: str = "step"
    hidden_norm: str = "free"
    schedule: str = "cosine"
    warmup: float = 0.0
    cooldown: float = 0.4
    clip: float | None = None
    ema: float | None = None
    lookahead: int | None = None
    patience: int | None = None
    precision: str = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What says after each epoch how good the net is: figures of which the headline decides when to stop."""

    measure: Callable[[nn.Module], dict[str, float]]
    headline: str
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """A step whose loss or gradient was not finite."""

    step: int
    loss: float
    rate: float


@dataclass(slots=True, kw_only=True)
class Job:
    """What stays the same during one run of the loop, and the point that faults go back to."""

    batches: Epochs
    settings: Settings
    objective: Objective
    run: Run
    execution: Execution
    judge: Judge | None
    callback: Callable[[dict[str, Any]], Any] | None
    peak_rate: float
    total: int
    parameters: list[nn.Parameter]
    device: str
    is_repeatable: bool
    gradient: Gradient | None = None
    anchor: tuple[dict[str, Any], dict[str, Tensor]] = field(default_factory=lambda: ({}, {}))
    pulse_s: float = 0.0
