"""headstart: what pretrained weights were worth: the same life from random weights, on the same rows.

From scratch every layer learns at its usual rate for as many epochs: what only suits weights that know
something (frozen parts, slower early layers, a head first) is taken back, so that the comparison is not one
with a handicap. Both are scored on the same validation rows, paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lichen.core import signature
from lichen.core.errors import UsageError
from lichen.core.lineage import PRETRAINED, Call, is_pretrained, learns_beside, loads_weights
from lichen.core.replay import replay
from lichen.core.schema import Count, Level
from lichen.core.scoring import Judge, data_of
from lichen.core.session import current
from lichen.core.value import Value, seconds_text
from lichen.engine.scores import intervals

FROM_SCRATCH = {
    "weights": None, "freeze": "none", "layer_decay": 1.0, "rates": None, "gradual": 0.0, "head_epochs": 0,
    "rate": None,
}  # fmt: skip
"""Options, by name, of a life that starts with weights that know nothing; None only where a step takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headstart:
    """The headline with the pretrained weights and from scratch, and `worth`, the paired difference.

    Positive: the weights helped. `verdict` is "helps", "harms" or "no measurable effect" at the stated level;
    seconds are those of the steps from the weights on, per seed.
    """

    metric: str
    pretrained: float
    scratch: float
    worth: float
    low: float
    high: float
    level: float
    verdict: str
    num_rows: int
    num_seeds: int
    pretrained_s: float
    scratch_s: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        over = "rows alone" if self.num_seeds == 1 else f"rows and {self.num_seeds} seeds"
        return (
            f"{self.metric} {self.pretrained:.4f} with the pretrained weights, "
            f"{self.scratch:.4f} from scratch, on {self.num_rows} rows of validation\n"
            f"worth {self.worth:+.4f} [{self.low:+.4f}, {self.high:+.4f}] at {self.level:.0%} over {over}: "
            f"{self.verdict}\n"
            f"took {seconds_text(self.pretrained_s)} with them, {seconds_text(self.scratch_s)} from scratch, "
            "for equal epochs"
        )


def headstart(value: Value, data: Value | None = None, *, seeds: Count = 1, level: Level = 0.95) -> Headstart:
    """Replays a life from random weights and says what the pretrained ones were worth.

    Args:
        value: a Model or Program whose life loaded weights and trained them further.
        data: what to score on (its validation split); the last Dataset of the life when None.
        seeds: master seeds; the first keeps the recorded ones. One costs about what the training took, and
            its interval knows nothing of other seeds.
        level: of the interval.

    Raises:
        UsageError: no pretrained weights were loaded, or they were not trained further: an adapter learns
            beside them.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is nothing to replay")
    session = current()
    judge = Judge(session, data_of(value, data, session))
    calls = value.made.call.history()
    changes = _changes(calls)
    whole, bare = (
        [judge.score(replay(value.made, session, options=options, seed=seed)) for seed in range(seeds)]
        for options in ({}, changes)
    )
    sign = 1.0 if whole[0].scores.manifest["higher_is_better"] else -1.0
    differences_SN = np.stack([a.outcome - b.outcome for a, b in zip(whole, bare, strict=True)])
    worth, low, high = intervals.of(sign * differences_SN, level)
    return Headstart(
        metric=whole[0].scores.headline, worth=worth, low=low, high=high, level=level,
        pretrained=float(np.mean([one.scores.value for one in whole])),
        scratch=float(np.mean([one.scores.value for one in bare])),
        verdict="helps" if low > 0 else "harms" if high < 0 else "no measurable effect",
        num_rows=whole[0].scores.num_rows, num_seeds=seeds,
        pretrained_s=sum(_spent(one.value) for one in whole) / seeds,
        scratch_s=sum(_spent(one.value) for one in bare) / seeds,
    )  # fmt: skip


def _changes(calls: list[Call]) -> dict[str, Mapping[str, Any]]:
    """The options that a life from scratch has, by call."""
    if not any(map(loads_weights, calls)):
        raise UsageError("no step of this life loaded pretrained weights",
                         hint="pretrain.load with weights= does")  # fmt: skip
    if any(map(learns_beside, calls)):
        raise UsageError("an adapter learns beside weights that stay as they are; random ones say nothing",
                         hint="li.adapt.finetune(model, data) in its place")  # fmt: skip
    if not is_pretrained(calls):
        raise UsageError("the loaded weights were not trained further, so there is no life from scratch",
                         hint="li.adapt.finetune(model, data)")  # fmt: skip
    changed: dict[str, Mapping[str, Any]] = {}
    for call in calls[next(place for place, call in enumerate(calls) if loads_weights(call)) :]:
        known = signature.of("steps", call.step).options
        found = {
            name: neutral for name, neutral in FROM_SCRATCH.items()
            if name in known and (neutral is not None or known[name].may_be_none)
        }  # fmt: skip
        if found:
            changed[call.id] = found
    return changed


def _spent(value: Value) -> float:
    """Seconds of the steps from the loaded weights on."""
    assert value.made is not None
    calls = value.made.call.history()
    start = next(place for place, call in enumerate(calls) if call.step == PRETRAINED)
    return sum(call.seconds for call in calls[start:])
