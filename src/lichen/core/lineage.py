"""lineage: the graph of step calls behind a value, with their options and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lichen.core.digest import digest_json

ONLY = ""
"""The field of a step's single output."""
PRETRAINED = "pretrain.load"
"""The step that takes weights from someone before us."""
BESIDE = {"lora", "rslora", "dora", "ia3", "prompt"}
"""Methods of steps that learn a few numbers beside weights that stay as they are."""


@dataclass(frozen=True, slots=True)
class Made:
    """A value's origin: the call and the field of its output."""

    call: Call
    field: str = ONLY


@dataclass(frozen=True, slots=True)
class Ref:
    """An input of a call: the digest it had and the call behind it, if it was recorded."""

    digest: str
    kind: str
    made: Made | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One recorded execution of a step."""

    step: str
    key: str
    code: str
    options: Mapping[str, Any]
    inputs: Mapping[str, Ref]
    outputs: Mapping[str, str]
    kinds: Mapping[str, str]
    decisions: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    read: tuple[str, ...] = ()
    """Splits that were opened."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where data sources were found."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Content digests of data sources, by option."""
    seconds: float = 0.0
    started: str = ""
    run: str = ""
    is_accepted: bool = False
    """Taken over from older code by `store accept`."""

    @cached_property
    def id(self) -> str:
        behind = {name: ref.made.call.id if ref.made else ref.digest for name, ref in self.inputs.items()}
        return digest_json(
            [self.key, behind, dict(self.outputs), dict(self.decisions), dict(self.environment)]
        )

    def parents(self) -> list[Call]:
        """Calls behind the inputs, by the inputs' names: an order that storing does not change."""
        return [ref.made.call for _, ref in sorted(self.inputs.items()) if ref.made]

    def history(self) -> list[Call]:
        """Every call behind this one and itself, parents first, each once, in a stable order."""
        order: dict[str, Call] = {}
        waiting = [(self, False)]
        while waiting:  # no recursion: a life may be longer than Python's stack
            call, is_behind = waiting.pop()
            if is_behind:
                order.setdefault(call.id, call)
            elif call.__dict__.get("id") not in order:
                waiting.append((call, True))
                waiting += [(parent, False) for parent in reversed(call.parents())]
        return list(order.values())

    def with_inputs(self, inputs: Mapping[str, Ref]) -> Call:
        return replace(self, inputs=inputs)

    def record(self) -> dict[str, Any]:
        """JSON of this call alone; inputs refer to calls by id."""
        return {
            "id": self.id,
            "step": self.step,
            "key": self.key,
            "code": self.code,
            "options": dict(self.options),
            "inputs": {
                name: {
                    "digest": ref.digest,
                    "kind": ref.kind,
                    "call": ref.made.call.id if ref.made else None,
                    "field": ref.made.field if ref.made else ONLY,
                }
                for name, ref in self.inputs.items()
            },
            "outputs": dict(self.outputs),
            "kinds": dict(self.kinds),
            "decisions": dict(self.decisions),
            "environment": dict(self.environment),
            "read": list(self.read),
            "places": dict(self.places),
            "sources": dict(self.sources),
            "seconds": self.seconds,
            "started": self.started,
            "run": self.run,
            "is_accepted": self.is_accepted,
        }


def loads_weights(call: Call) -> bool:
    """Whether a call takes weights that someone trained before this life."""
    return call.step == PRETRAINED and call.options.get("weights") is not None


def learns_beside(call: Call) -> bool:
    """Whether a call learnt an adapter."""
    return call.options.get("method") in BESIDE


def is_pretrained(calls: list[Call]) -> bool:
    """Whether a life took weights from someone before it, and trained them further; an adapter does not."""
    places = [place for place, call in enumerate(calls) if loads_weights(call)]
    later = calls[places[-1] + 1 :] if places else []
    return any("epochs" in call.options for call in later) and not any(map(learns_beside, later))


def from_record(record: Mapping[str, Any], calls: Mapping[str, Call]) -> Call:
    """A call from its JSON; `calls` holds those it refers to."""
    inputs = {
        name: Ref(ref["digest"], ref["kind"], Made(calls[ref["call"]], ref["field"]) if ref["call"] else None)
        for name, ref in record["inputs"].items()
    }
    plain = {key: record[key] for key in (
        "step", "key", "code", "options", "outputs", "kinds", "decisions", "environment", "places", "sources",
        "seconds", "started", "run", "is_accepted")}  # fmt: skip
    return Call(inputs=inputs, read=tuple(record["read"]), **plain)


def records_of(call: Call) -> list[dict[str, Any]]:
    """The whole lineage as JSON, parents first."""
    return [one.record() for one in call.history()]


def from_records(records: list[Mapping[str, Any]]) -> Call:
    """The last call of a lineage written by `records_of`."""
    calls: dict[str, Call] = {}
    for record in records:
        call = calls[record["id"]] = from_record(record, calls)
        _ = call.id  # while the parents' are fresh: the last one's would recurse through them all
    return calls[records[-1]["id"]]
