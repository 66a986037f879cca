"""hunt: the training behind a value, replayed with other augmentation; some rows choose, the others judge.

Shapes: N rows of validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.lineage import Call, Made
from lichen.core.replay import replay
from lichen.core.scoring import Judge
from lichen.core.session import Session
from lichen.core.value import Value
from lichen.data import augment
from lichen.engine.search import games

POLICY = "augment.policy"
Ops = list[dict[str, float]]


class Hunt:
    """A training that can be replayed with any policy and epochs, and the rows that say how good it was."""

    def __init__(self, made: Made, data: Dataset, session: Session) -> None:
        self.session, self.judge = session, Judge(session, data)
        self.policy, self.training = _places(made.call.history())
        self.ops: Ops = self.policy.options["ops"]
        self.epochs: int = self.training.options["epochs"]
        self.chooses_N = games.chooses(data.rows("validation").ids)
        if not 0 < self.chooses_N.sum() < len(self.chooses_N):
            raise UsageError(f"validation must have rows to choose by and rows to judge by; it has "
                             f"{len(self.chooses_N)}")  # fmt: skip
        self.metric, self.sign = "", 1.0

    def chosen(self, ops: Ops, epochs: int) -> float:
        """The headline on the rows that choose."""
        return float(self.outcome(ops, epochs, 0)[self.chooses_N].mean())

    def outcome(self, ops: Ops, epochs: int, seed: int) -> np.ndarray:
        """float64 (N,): each validation row's share of the headline."""
        scored = self.judge.score(self.trained(ops, epochs, seed))
        self.metric = scored.scores.headline
        self.sign = 1.0 if scored.scores.manifest["higher_is_better"] else -1.0
        return scored.outcome

    def judged(self, ops: Ops, seed: int) -> np.ndarray:
        """float64: the share of each row that does not choose, after the whole training.

        Never by the master seed that choices are tried by: what is chosen was also lucky in its training,
        and that luck is in all rows alike.
        """
        return self.outcome(ops, self.epochs, 1 + seed)[~self.chooses_N]

    def trained(self, ops: Ops, epochs: int, seed: int) -> Value:
        (field,) = self.training.kinds
        changed: Mapping[str, Mapping[str, Any]] = {
            self.policy.id: {"ops": ops, "favour": self._favour(ops)}, self.training.id: {"epochs": epochs},
        }  # fmt: skip
        return replay(Made(self.training, field), self.session, options=changed, seed=seed)

    def _favour(self, ops: Ops) -> Mapping[str, float] | None:
        """What the recorded policy favours, where one of the operations draws it."""
        is_drawn = any(entry["op"] in augment.DRAWN for entry in augment.policy_of(ops))
        return self.policy.options.get("favour") if is_drawn else None


def _places(calls: list[Call]) -> tuple[Call, Call]:
    """The last policy and the training after it."""
    policy = next((call for call in reversed(calls) if call.step == POLICY), None)
    if policy is None:
        raise UsageError(f"this life has no `{POLICY}` whose operations could be others",
                         hint="li.augment.policy(data, ops=['flip']) before the training")  # fmt: skip
    later = calls[calls.index(policy) + 1 :]
    training = next((call for call in later if isinstance(call.options.get("epochs"), int)), None)
    if training is None:
        raise UsageError(f"no step after `{POLICY}` has epochs")
    return policy, training
