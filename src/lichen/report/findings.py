"""findings: everything the store recorded about the life behind a value, in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lichen.core import events, machine, tally
from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import NotFoundError, UsageError
from lichen.core.lineage import Call, Made
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.scores import Scores
from lichen.core.session import Session
from lichen.core.store import Store
from lichen.core.tally import Row
from lichen.core.value import Value

KEY_LENGTH = 16
"""Characters of a call's key that its events carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One output of one call of the life: what it is, its row of the life table and its validation scores."""

    call: Call
    row: Row
    value: Value | None
    """None when the store no longer has it."""
    scores: Scores | None = None

    @property
    def name(self) -> str:
        """The step's short name, as charts show it."""
        return self.row.step.rpartition(":")[2].partition(".")[2] or self.row.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a report is made from; equal findings make equal pages."""

    value: Model | Program
    made: Made
    stages: tuple[Stage, ...]
    data: Dataset | None
    """The last dataset of the life."""
    environment: Environment | None
    """The last environment of the life; where there is one, values are judged in it."""
    test: Scores | None
    times_opened: int
    history: Mapping[str, Sequence[Mapping[str, Any]]]
    """Per call id the epochs of its training."""
    phases: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
    """Per call id and phase the epochs of what trained by itself before, such as the head alone."""
    notes: Mapping[str, Sequence[tuple[str, str]]]
    """Per call id (kind, text) of its notes and warnings."""
    ablation: Mapping[str, Any] | None
    compression: Mapping[str, Any] | None
    """The last study of compression that began with this value or found it."""
    headstart: Mapping[str, Any] | None
    """What the pretrained weights were worth, where that was studied."""
    search: Mapping[str, Any] | None
    """Which way to choose something of this life found the best, where that was studied."""
    orders: Mapping[str, Any] | None
    """How much the order of a prompt's demonstrations decides, where that was studied."""
    beside: Mapping[str, Any] | None
    """The last study that set this value beside others."""
    samples: Mapping[str, Sequence[tuple[float, str]]]
    """Per call id what a generator made at (epoch, picture as a data URI)."""
    fidelity: Mapping[str, Any] | None
    """How good the pictures of a generator of this life are."""
    likeness: Mapping[str, Any] | None
    """How like real ones the rows of a table are that a generator of this life makes."""
    worth: Mapping[str, Any] | None
    """What the judge said of the synthetic rows of this life."""
    packages: Mapping[str, str]
    """Versions that the code of the life was recorded with."""

    @property
    def calls(self) -> list[Call]:
        return self.made.call.history()

    @property
    def last(self) -> Stage:
        """The stage of the value itself."""
        return next(stage for stage in reversed(self.stages) if stage.row.digest == self.value.digest)

    @property
    def models(self) -> list[Stage]:
        """The stages that made a Model or Program which is still there."""
        return [stage for stage in self.stages if isinstance(stage.value, Model | Program)]

    @property
    def rivals(self) -> list[Stage]:
        """The models of the life that do what the value does: the value, and others of its task."""
        return [stage for stage in self.models if getattr(stage.value, "task", None) == self.value.task]

    @property
    def labels(self) -> list[str]:
        return list(self.value.assets.get("labels") or (self.data.labels if self.data else []))


def gather(value: Value, session: Session) -> Findings:
    """Reads the store; nothing is computed and nothing is written.

    Raises:
        UsageError: there is no store, or the value is no Model or Program made by recorded steps.
    """
    store = session.store
    if store is None or value.made is None or not isinstance(value, Model | Program):
        raise UsageError(f"a report is of a Model or Program that recorded steps made, not of {value!r}")
    calls = value.made.call.history()
    data, environment = _last_of("dataset", calls, store), _last_of("environment", calls, store)
    assert isinstance(data, Dataset | None) and isinstance(environment, Environment | None)
    ground = tally.grounds(calls, store)
    told = list(_told(store.folder / "runs", calls))
    return Findings(
        value=value,
        made=value.made,
        data=data,
        environment=environment,
        stages=tuple(_stages(calls, ground, store)),
        test=_scores(value, "test", ground, store),
        times_opened=tally.times_opened(value, session),
        history={call.id: _epochs(call, told).get("", []) for call in calls},
        phases={
            call.id: {name: some for name, some in _epochs(call, told).items() if name} for call in calls
        },
        notes={call.id: _notes(call, told) for call in calls},
        ablation=_study("ablate", value, told),
        compression=_study("compress", value, told),
        headstart=_study("headstart", value, told),
        search=_study("search", value, told) or _study_of("search", calls, told),
        orders=_study("orders", value, told) or _study_of("orders", calls, told),
        beside=_study("beside", value, told),
        samples={call.id: _samples(call, told) for call in calls},
        fidelity=_study("fidelity", value, told) or _study_of("fidelity", calls, told),
        likeness=_study("likeness", value, told) or _study_of("likeness", calls, told),
        worth=_study("worth_of_synthetic", value, told),
        packages={
            name: version
            for call in calls
            for name, version in sorted(store.detail(call.code)["packages"].items())
        },
    )


def _study(name: str, value: Value, told: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What the last study of a value found, or the last one that names it among its points."""
    found = None
    for event in told:
        if event["kind"] == "study" and event["study"] == name:
            points = (point["digest"] for point in event["found"].get("points", ()))
            found = event["found"] if value.digest in (event.get("digest"), *points) else found
    return found


def _study_of(
    name: str, calls: Sequence[Call], told: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """What the last study of a value behind found."""
    made = {digest for call in calls for digest in call.outputs.values()}
    found = [
        event["found"]
        for event in told
        if event["kind"] == "study" and event["study"] == name and event.get("digest") in made
    ]
    return found[-1] if found else None


def _samples(call: Call, told: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Sheets of one call in the order of its epochs."""
    found = {
        event["epoch"]: str(event["picture"])
        for event in told
        if event["kind"] == "samples" and event["key"] == call.key[:KEY_LENGTH] and event["run"] <= call.run
    }
    return sorted(found.items())


def _last_of(wanted: str, calls: Sequence[Call], store: Store) -> Value | None:
    """The last value of a kind that the store still has."""
    found = (
        _kept(call.outputs[name], store)
        for call in reversed(calls)
        for name, kind in call.kinds.items()
        if kind == wanted
    )
    return next((value for value in found if value is not None), None)


def _kept(digest: str, store: Store) -> Value | None:
    try:
        return store.value(digest)
    except NotFoundError:
        return None


def _stages(calls: Sequence[Call], ground: Mapping[str, str] | None, store: Store) -> Iterator[Stage]:
    for call in calls:
        for field, digest in call.outputs.items():
            value = _kept(digest, store)
            is_scored = isinstance(value, Model | Program)
            scores = _scores(value, "validation", ground, store) if value is not None and is_scored else None
            yield Stage(call=call, row=_row(call, field, value, scores, store), value=value, scores=scores)


def _row(call: Call, field: str, value: Value | None, scores: Scores | None, store: Store) -> Row:
    name = f"{call.step}.{field}" if field else call.step
    facts = (
        ", ".join(f"{key} {text}" for key, text in value.facts().items())
        if value
        else "no longer in the store"
    )
    quality: dict[str, Any] = {}
    if scores is not None:
        low, high = scores.bounds
        quality = {
            "split": scores.split,
            "metric": scores.headline,
            "value": scores.value,
            "low": low,
            "high": high,
            "num_rows": scores.num_rows,
            "unit": scores.unit,
        }
    return Row(
        step=name,
        digest=call.outputs[field],
        kind=call.kinds[field],
        facts=facts,
        seconds=call.seconds,
        num_params=getattr(value, "num_params", None),
        size_bytes=getattr(value, "size_bytes", None),
        **quality,
        **_cost(call, field, store),
    )


def _cost(call: Call, field: str, store: Store) -> dict[str, Any]:
    """What was measured on the machine of the call, or else on the first by name."""
    rows = store.records.rows(
        "SELECT machine, cost FROM costs WHERE digest = ? ORDER BY machine = ? DESC, machine",
        [call.outputs[field], machine.name_of(call.environment)],
    )
    return json.loads(rows[0]["cost"]) if rows else {}


def _scores(value: Value, split: str, ground: Mapping[str, str] | None, store: Store) -> Scores | None:
    """The recorded scores on a split of the life's own ground; those on other data tell of other data."""
    found = [scores for _, scores in tally.own(value, ground, store) if scores.split == split]
    return found[-1] if found else None


def _told(runs: Path, calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """Events of all runs in order that name one of these calls, and every study."""
    keys = {call.key[:KEY_LENGTH] for call in calls}
    wanted = [f'"key":"{key}"'.encode() for key in sorted(keys)] + [b'"kind":"study"']
    for path in sorted(runs.glob("*/events.jsonl")):
        whole = path.read_bytes()
        if any(mark in whole for mark in wanted):
            for event in events.read(path):
                if event["kind"] == "study" or event.get("key") in keys:
                    yield {**event, "run": path.parent.name}


def _epochs(call: Call, told: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """One event per epoch, by phase: of the run that made the call, then of earlier ones that it resumed."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for event in told:
        is_mine = (
            event["kind"] == "history" and event["key"] == call.key[:KEY_LENGTH] and event["run"] <= call.run
        )
        if is_mine and "epoch" in event:
            found.setdefault(event.get("phase", ""), {})[event["epoch"]] = event
    return {phase: [epochs[epoch] for epoch in sorted(epochs)] for phase, epochs in found.items()}


def _notes(call: Call, told: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (event["kind"], str(event.get("text", "")))
        for event in told
        if event["kind"] in ("note", "warning")
        and event.get("key") == call.key[:KEY_LENGTH]
        and event["run"] == call.run
    ]
