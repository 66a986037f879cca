"""replay: runs the calls behind a value again, as they were or with something changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Set
from typing import Any

from lichen.core import calling, step
from lichen.core.errors import NotFoundError, StepError
from lichen.core.life import fields_of
from lichen.core.lineage import ONLY, Call, Made, Ref
from lichen.core.session import Session
from lichen.core.value import Value


def replay(
    target: Made,
    session: Session,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    without: Set[str] = frozenset(),
    instead: Mapping[str, Value] | None = None,
    seed: int = 0,
    decides_again: bool = False,
    outside: Callable[[str], Value] | None = None,
    after: Callable[[Call, dict[str, Value]], bool] | None = None,
) -> Value:
    """The value that the same calls give now.

    Args:
        options: changed options by call id.
        without: ids of calls to pass over: their output is their input of the same kind.
        instead: values by the digest of inputs whose place they take; what only led to those is not run.
        seed: master seed; 0 keeps every recorded seed, another changes all of them by it.
        decides_again: measure instead of taking the recorded decisions.
        outside: finds values that no recorded call made, by digest.
        after: told every call and what it gave now; False ends the replay.

    Raises:
        NotFoundError: a value from outside is gone.
        StepError: the replay was ended before the target.
    """
    made: dict[tuple[str, str], Value] = {}
    others, touched = instead or {}, set[str]()
    needed = _needed(target.call, without, others)
    for call in target.call.history():
        if call.id not in needed:
            continue
        taken = _kept_inputs(call) if call.id in without else call.inputs
        values = {name: others.get(ref.digest) or _input(ref, made, session, outside)
                  for name, ref in taken.items()}  # fmt: skip
        given = {**recorded_options(call, seed), **(options or {}).get(call.id, {})}
        is_other = call.id in without or given != recorded_options(call, 0)
        if is_other or any(_is_other(ref, others, touched) for ref in taken.values()):
            touched.add(call.id)  # what it decided, and what those after it did, was about something else
        if call.id in without:
            made[call.id, ONLY] = passed_over(call, values)
            continue
        one = step.by_address(call.step)
        result = calling.execute(
            one, calling.bind(one.signature, (), values), given, session,
            decisions=None if decides_again or call.id in touched else call.decisions,
        )  # fmt: skip
        outputs = fields_of(result)
        made.update({(call.id, name): value for name, value in outputs.items()})
        if after and after(call, outputs) is False:
            break
    if (target.call.id, target.field) not in made:
        raise StepError("the replay ended before its target")
    return made[target.call.id, target.field]


def _needed(target: Call, without: Set[str], instead: Mapping[str, Value]) -> set[str]:
    """Ids of the calls whose outputs a replay asks for."""
    needed: set[str] = set()
    waiting = [target]
    while waiting:
        call = waiting.pop()
        if call.id not in needed:
            needed.add(call.id)
            taken = _kept_inputs(call) if call.id in without else call.inputs
            waiting += [
                ref.made.call for ref in taken.values() if ref.made is not None and ref.digest not in instead
            ]
    return needed


def _is_other(ref: Ref, instead: Mapping[str, Value], touched: Set[str]) -> bool:
    """Whether an input is not what it was when the call was recorded."""
    return ref.digest in instead or (ref.made is not None and ref.made.call.id in touched)


def _kept_inputs(call: Call) -> dict[str, Ref]:
    """The input that stands in for a call that is passed over."""
    name = stand_in(call)
    assert name is not None
    return {name: call.inputs[name]}


def stand_in(call: Call) -> str | None:
    """The name of the input that a life has in place of a call's output when the call is left out.

    Of the inputs of the output's kind the one that the step names, where it was given, or else the first;
    None: there is no such input.
    """
    if len(call.kinds) != 1:
        return None
    (kind,) = call.kinds.values()
    read = step.by_address(call.step).signature
    names = [taken.name for taken in read.values if taken.name in call.inputs]
    alike = [name for name in names if call.inputs[name].kind == kind]
    return read.without if read.without in alike else next(iter(alike), None)


def recorded_options(call: Call, seed: int) -> dict[str, Any]:
    """A call's options, its data from where they were found, its seed moved by the master seed."""
    options = dict(call.options)
    for name, place in call.places.items():
        if os.path.exists(place):
            options[name] = place
    if seed and isinstance(options.get("seed"), int):
        options["seed"] = derived_seed(seed, options["seed"])
    return options


def derived_seed(master: int, seed: int) -> int:
    """A seed that depends on both, spread over 31 bits."""
    return int.from_bytes(hashlib.sha256(f"{master}/{seed}".encode()).digest()[:4], "big") >> 1


def _input(
    ref: Ref, made: Mapping[tuple[str, str], Value], session: Session, outside: Callable[[str], Value] | None
) -> Value:
    if ref.made is not None:
        return made[ref.made.call.id, ref.made.field]
    if outside is not None:
        return outside(ref.digest)
    if session.store is None:
        raise NotFoundError(
            f"value {ref.digest[:10]} came from outside the record, and there is no store to find it in"
        )
    return session.store.value(ref.digest)


def passed_over(call: Call, values: Mapping[str, Value]) -> Value:
    """What a life without an identity step has in place of its output."""
    return values[stand_in(call) or ""]
