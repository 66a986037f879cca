"""scoring: scores of many values on the same rows, so that they can be paired.

Shapes: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lichen.core import calling, step
from lichen.core.errors import UsageError
from lichen.core.life import fields_of
from lichen.core.lineage import Call, Made
from lichen.core.scores import Scores
from lichen.core.session import Session
from lichen.core.store import Store
from lichen.core.value import Value


@dataclass(frozen=True, slots=True)
class Scored:
    value: Value
    scores: Scores
    outcome: Any
    """float64 (N,): each row's share of the headline."""


class Judge:
    """Scores values on validation through `assess.evaluate`, so that scores are recorded too."""

    def __init__(self, session: Session, data: Value) -> None:
        self.session, self.data = session, data
        self.evaluate = step.by_address("assess.evaluate")
        self.told: Any = None

    def score(self, value: Value) -> Scored:
        """
        Raises:
            UsageError: it tells more or less of the texts than those that were scored before.
        """
        values = calling.bind(self.evaluate.signature, (value, self.data), {})
        scores = fields_of(calling.execute(self.evaluate, values, {}, self.session))[""]
        assert isinstance(scores, Scores)
        self._require_same(value, scores)
        return Scored(value, scores, scores.answers()["outcome"].numpy().astype("float64"))

    def _require_same(self, value: Value, scores: Scores) -> None:
        """Rows are paired, so they must be the same; of texts a model with less room may tell fewer bytes."""
        told = scores.answers().get("num_bytes")
        if told is None:
            return
        told_N = told.numpy().tolist()
        if self.told is not None and self.told != told_N:
            raise UsageError(f"{value!r} tells other parts of the texts than what it is compared with",
                             hint="models that are compared take the same max_tokens")  # fmt: skip
        self.told = told_N


def data_of(value: Value, data: Value | None, session: Session) -> Value:
    """The data or environment to score a value on: those given, or the last of its life.

    Raises:
        UsageError: there are none.
    """
    assert value.made is not None
    if data is None:
        data = last_ground(value.made.call, session.store)
    if data is None:
        raise UsageError("there is no Dataset or Environment to score on", hint="give them: (model, data)")
    return data


def last_ground(call: Call, store: Store | None) -> Value | None:
    """What values of a life are judged on: its last environment, where it has one, else its last dataset."""
    for wanted in ("environment", "dataset") if store is not None else ():
        for one in reversed(call.history()):
            for name, kind in one.kinds.items():
                if kind == wanted and store is not None:
                    return store.value(one.outputs[name], Made(one, name))
    return None
