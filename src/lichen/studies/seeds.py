"""seeds: the same life by several master seeds: what it gives, and how far that is luck.

Shapes: S seeds, N rows or episodes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lichen.core.errors import UsageError
from lichen.core.replay import replay
from lichen.core.schema import Count, Level
from lichen.core.scoring import Judge, data_of
from lichen.core.session import current
from lichen.core.value import Value
from lichen.engine.scores import intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """The headline of each seed, and their mean with an interval over seeds and rows, or episodes."""

    metric: str
    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    level: float
    num_rows: int
    unit: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        counted = f"{self.num_rows} {self.unit}"
        lines = [f"{self.metric} on {counted} of validation"]
        lines += [f"  seed {seed}: {value:.4f}" for seed, value in enumerate(self.values)]
        interval = f"[{self.low:.4f}, {self.high:.4f}] at {self.level:.0%}"
        return "\n".join([*lines, f"mean {self.mean:.4f} {interval} over seeds and {self.unit}"])


def seeds(value: Value, data: Value | None = None, *, seeds: Count = 5, level: Level = 0.95) -> Seeds:
    """Replays a life with other seeds, and scores each on the same validation.

    Args:
        value: a Model or Program, whatever its task.
        data: the Dataset or Environment to score on; the last one of the life when None.
        seeds: master seeds; the first keeps the recorded ones, and its life is found, not computed.
        level: of the interval.

    Raises:
        UsageError: the value was not made by recorded steps, or there is one seed only.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is nothing to replay")
    if seeds < 2:
        raise UsageError("one seed says nothing of luck", hint="--seeds 5")
    session = current()
    judge = Judge(session, data_of(value, data, session))
    scored = [judge.score(replay(value.made, session, seed=seed)) for seed in range(seeds)]
    mean, low, high = intervals.of(np.stack([one.outcome for one in scored]), level)
    scores = scored[0].scores
    return Seeds(
        metric=scores.headline, values=tuple(one.scores.value for one in scored), mean=mean, low=low,
        high=high, level=level, num_rows=scores.num_rows, unit=scores.unit,
    )  # fmt: skip
