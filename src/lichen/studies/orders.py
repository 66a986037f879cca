"""orders: how much an answer depends on the order of the demonstrations, and what they are worth at all.

The prompt behind a model is made again with the same train rows in other orders, and without any; all are
scored on the same validation rows. The interval of the mean is over rows and orders.
Paper: Lu et al. 2022, "Fantastically Ordered Prompts and Where to Find Them" (orders of the same rows go from
near chance to near the best).

Shapes: S orders, N rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lichen.core.errors import UsageError
from lichen.core.lineage import Call, Made
from lichen.core.replay import replay
from lichen.core.schema import Count, Level
from lichen.core.scoring import Judge, Scored, data_of
from lichen.core.session import current
from lichen.core.value import Value
from lichen.engine.scores import intervals

STEP = "adapt.prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of the demonstrations and the headline it has, with the interval over rows."""

    order: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The headline over orders: `mean` with its interval, `spread` (the standard deviation), and each.

    `worth` is the paired difference to no demonstrations; `verdict` is "helps", "harms" or "no measurable
    effect" at the stated level.
    """

    metric: str
    shots: int
    orders: tuple[Order, ...]
    mean: float
    low: float
    high: float
    spread: float
    none: float
    worth: float
    worth_low: float
    worth_high: float
    verdict: str
    level: float
    num_rows: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"order {one.order}: {self.metric} {one.value:.4f} [{one.low:.4f}, {one.high:.4f}]"
                 for one in self.orders]  # fmt: skip
        values = [one.value for one in self.orders]
        return "\n".join([
            *lines,
            f"over {len(values)} orders of the same {self.shots} demonstrations: mean {self.mean:.4f}"
            f" [{self.low:.4f}, {self.high:.4f}], spread {self.spread:.4f}, from {min(values):.4f} to"
            f" {max(values):.4f}, on {self.num_rows} rows of validation",
            f"without any {self.none:.4f}: they are worth {self.worth:+.4f} [{self.worth_low:+.4f},"
            f" {self.worth_high:+.4f}] at {self.level:.0%}: {self.verdict}",
        ])  # fmt: skip


def orders(value: Value, data: Value | None = None, *, orders: Count = 5, level: Level = 0.95) -> Orders:
    """Puts the same demonstrations in other orders.

    Args:
        value: a Model whose life has an `adapt.prompt` with shots.
        data: what to score on (its validation split); the last Dataset of the life when None.
        orders: of the demonstrations, from two to as many as there are; each is scored on all validation
            rows.
        level: of the intervals.

    Raises:
        UsageError: nothing was prompted with demonstrations in one order, or there is but one order to try.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is no prompt to put otherwise")
    call, session = _prompt(value.made.call.history()), current()
    if orders < 2:
        raise UsageError(f"there must be two orders at least to compare, not {orders}")
    judge, settled = Judge(session, data_of(value, data, session)), _settled(call)

    def scored(**options: Any) -> Scored:
        (field,) = call.kinds
        changed = {call.id: {**settled, **options, "search": None}}
        return judge.score(replay(Made(call, field), session, options=changed))

    orders = min(orders, math.factorial(settled["shots"]))
    each = [scored(order=number) for number in range(orders)]
    none = scored(shots=0)
    outcome_SN = np.stack([one.outcome for one in each])
    worth, worth_low, worth_high = intervals.of(outcome_SN - none.outcome, level)
    mean, low, high = intervals.of(outcome_SN, level)
    return Orders(
        metric=none.scores.headline, shots=settled["shots"], mean=mean, low=low, high=high,
        orders=tuple(Order(order=number, value=one.scores.value, low=one.scores.interval[0],
                           high=one.scores.interval[1]) for number, one in enumerate(each)),
        spread=float(np.std([one.scores.value for one in each], ddof=1)), none=none.scores.value, worth=worth,
        worth_low=worth_low, worth_high=worth_high, level=level, num_rows=none.scores.num_rows,
        verdict="helps" if worth_low > 0 else "harms" if worth_high < 0 else "no measurable effect",
    )  # fmt: skip


def _prompt(calls: list[Call]) -> Call:
    """The last prompt with demonstrations that have an order."""
    call = next((call for call in reversed(calls) if call.step == STEP), None)
    if call is None:
        raise UsageError(f"this life has no `{STEP}`", hint="li.adapt.prompt(model, data, shots=4)")
    settled = _settled(call)
    if settled["shots"] < 2 or settled["choice"] == "nearest":
        raise UsageError(
            "demonstrations must be two at least, and the same for every row, to stand in other orders; this"
            f" prompt has {settled['shots']} by choice `{settled['choice']}`",
            hint="shots=4, choice='balanced'",
        )
    return call


def _settled(call: Call) -> dict[str, Any]:
    """The options of a prompt, those that a search found in their place."""
    return {**call.options, **call.decisions.get("prompt", {})}
