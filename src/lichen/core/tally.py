"""tally: one row of the life table: quality on validation, parameters, bytes and cost on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from lichen.core import calling, find, machine, step
from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import LichenError, NotFoundError
from lichen.core.lineage import Call
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.records import now
from lichen.core.scores import Scores
from lichen.core.session import Session
from lichen.core.store import Store
from lichen.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one step left behind. Times are of this machine; None where nothing was or could be measured."""

    step: str
    digest: str
    kind: str
    facts: str
    seconds: float
    split: str | None = None
    metric: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    num_rows: int | None = None
    unit: str = "rows"
    num_params: int | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    throughput: float | None = None
    """Rows per second at a good batch size."""
    is_busy: bool = False
    """The machine was occupied while the cost was measured."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Ground = Dataset | Environment
"""What a value is judged on."""


def row(name: str, value: Value, data: Ground | None, session: Session, *, split: str = "validation") -> Row:
    """Scores a value on a split through `assess.evaluate`, and its cost, measured once per machine."""
    facts = ", ".join(f"{key} {text}" for key, text in value.facts().items())
    seconds = value.made.call.seconds if value.made else 0.0
    plain: dict[str, Any] = {
        "step": name,
        "digest": value.digest,
        "kind": value.kind,
        "facts": facts,
        "seconds": seconds,
    }
    if not isinstance(value, Model | Program) or data is None:
        return Row(**plain)
    plain.update(num_params=value.num_params, size_bytes=value.size_bytes)
    if value.task is None or (isinstance(value, Model) and value.net is None):
        return Row(**plain)
    if isinstance(data, Environment) or data.num_rows(split):
        scores = evaluate(value, data, split, session)
        low, high = scores.bounds
        plain.update(split=split, metric=scores.headline, value=scores.value, low=low, high=high,
                     num_rows=scores.num_rows, unit=scores.unit)  # fmt: skip
    return Row(**plain, **cost(value, session))


def evaluate(value: Value, data: Ground, split: str, session: Session) -> Scores:
    """The recorded scores of a value."""
    one = step.by_address("assess.evaluate")
    scores = calling.execute(one, calling.bind(one.signature, (value, data), {}), {"split": split}, session)
    assert isinstance(scores, Scores)
    return scores


def cost(value: Value, session: Session) -> dict[str, Any]:
    """Latency and throughput on this machine, measured once and remembered; never part of a digest."""
    store = session.store
    if store is not None:
        found = store.records.row("SELECT cost FROM costs WHERE digest = ? AND machine = ?",
                                  [value.digest, machine.fingerprint()])  # fmt: skip
        if found and not session.measures_again:
            return json.loads(found["cost"])
    measured = find.load("lichen.engine.measure:cost")(value)
    kept = {"latency_ms": measured.latency_ms, "throughput": measured.rows_per_s, "is_busy": measured.is_busy}
    if store is not None and not store.is_readonly:
        store.records.replace(
            "costs", digest=value.digest, machine=machine.fingerprint(), cost=json.dumps(kept), at=now()
        )
    return kept


def recorded(value: Value, store: Store) -> list[tuple[Call, Scores]]:
    """Every recorded measurement of a value with the call that made it, in the order of their times."""
    found = []
    for call in store.readers(value.digest):
        for digest, kind in zip(call.outputs.values(), call.kinds.values(), strict=True):
            scores = store.value(digest) if kind == "scores" else None
            if isinstance(scores, Scores) and scores.manifest["subject"] == value.digest:
                found.append((call, scores))
    return sorted(found, key=lambda pair: (pair[0].started, pair[0].id))


def grounds(calls: Sequence[Call], store: Store) -> dict[str, str] | None:
    """What a life is judged on: by split the identity of its last environment, or else of its last dataset
    that has the split; None: it has neither."""
    found: dict[str, str] | None = None
    for wanted in ("environment", "dataset"):
        for value in _of_kind(wanted, calls, store):
            found = {} if found is None else found
            splits = value.splits if isinstance(value, Dataset) else ("train", "validation", "test")
            for split in splits:
                if isinstance(value, Environment) or (isinstance(value, Dataset) and value.num_rows(split)):
                    found.setdefault(split, value.identity((split,)))
    return found


def _of_kind(wanted: str, calls: Sequence[Call], store: Store) -> Iterator[Value]:
    """Values that a life made, the last first, and then those that it took from elsewhere."""
    made = [
        call.outputs[name] for call in reversed(calls) for name, kind in call.kinds.items() if kind == wanted
    ]
    taken = [ref.digest for call in reversed(calls) for ref in call.inputs.values() if ref.kind == wanted]
    for digest in dict.fromkeys([*made, *taken]):
        with suppress(NotFoundError):
            yield store.value(digest)


def own(value: Value, ground: Mapping[str, str] | None, store: Store) -> list[tuple[Call, Scores]]:
    """Recorded measurements on the ground of a value's life, the one that decides last.

    It has the headline of the task, the most rows or episodes, and is the newest of those. Of a life without
    a ground any data are as good as others.
    """
    found = [(call, scores) for call, scores in recorded(value, store)
             if ground is None or scores.manifest["data"] == ground.get(scores.split)]  # fmt: skip
    return sorted(found, key=lambda pair: (is_of_task(pair[1], value), pair[1].num_rows))


def is_of_task(scores: Scores, value: Value) -> bool:
    """Whether the headline is the task's own, which the outcome of each row is a share of."""
    name = getattr(value, "task", None)
    if name is None or scores.unit == "episodes":
        return True
    with suppress(LichenError):
        return scores.headline == find.load("lichen.engine.task:task_of")(name).headline
    return False


def times_opened(value: Value, session: Session) -> int:
    """How often the test split was opened along a value's lineage: by evaluations of any value behind it."""
    if session.store is None or value.made is None:
        return 0
    digests = {
        digest
        for call in value.made.call.history()
        for digest, kind in zip(call.outputs.values(), call.kinds.values(), strict=True)
        if kind in ("model", "program")
    }
    calls = {
        call.key: call for digest in digests for call in session.store.readers(digest) if "test" in call.read
    }
    return len(calls)
