"""calling: one call of a step: bound, keyed, looked up, run, recorded.

On a hit the stored value is returned; on a miss the step runs and what it made is stored atomically. Without
a store the same happens in memory and nothing is looked up.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from lichen.core import blame, find, guard, key
from lichen.core.context import Context
from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import OptionError, StepError
from lichen.core.lineage import ONLY, Call, Made, Ref
from lichen.core.records import now
from lichen.core.schema import Signature, Taken
from lichen.core.session import Session
from lichen.core.value import Value

if TYPE_CHECKING:
    from lichen.core.step import Step


def _value_names(read: Signature) -> list[str]:
    return [taken.name for taken in read.values]


def bind(read: Signature, args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Value | None]:
    """Values by parameter name.

    Raises:
        OptionError: too many, missing, or of a kind that the step does not take.
    """
    if len(args) > len(read.values):
        count = f"{len(read.values)} value{'' if len(read.values) == 1 else 's'}"
        first = next(iter(read.options), None)
        raise OptionError(
            f"`{read.address}` takes {count}, not {len(args)}",
            hint=f"options are given by name, such as {first}=..." if first else None,
        )
    given = {**dict(zip(_value_names(read), args, strict=False)), **named}
    return {taken.name: _check_value(read, taken, given.get(taken.name)) for taken in read.values}


def _check_value(read: Signature, taken: Taken, value: Any) -> Value | None:
    if value is None and taken.may_be_none:
        return None
    if isinstance(value, Value) and value.kind.capitalize() in taken.kinds:
        return value
    got = type(value).__name__ if value is not None else "nothing"
    hint = "li.load(...) makes a Dataset" if isinstance(value, str) and "Dataset" in taken.kinds else None
    raise OptionError(
        f"`{taken.name}` of `{read.address}` must be a {' or '.join(taken.kinds)}, not {got}", hint=hint
    )


def execute(
    step: Step,
    values: Mapping[str, Value | None],
    options: Mapping[str, Any],
    session: Session,
    *,
    decisions: Mapping[str, Any] | None = None,
) -> Any:
    """One step call in a session.

    Args:
        decisions: those of a recorded call, to be replayed.
    """
    read = step.signature
    checked = read.check(options)
    made_key = key.make(read, step.own_code, values, checked, session)
    digest = made_key.digest
    store = session.writable
    found = _hit(session, made_key, values)
    if found is None and store is not None:
        with store.lease(digest):
            found = _hit(session, made_key, values)  # by who held the lease until now
            if found is None:
                return _run(step, made_key, values, checked, session, decisions)
    if found is None:
        return _run(step, made_key, values, checked, session, decisions)
    return _outputs_of(found, session, read, step)


def _hit(session: Session, made_key: key.Key, values: Mapping[str, Value | None]) -> Call | None:
    """The stored call of a key, seen with the lineage of the inputs at hand."""
    store = session.store
    if store is None or session.is_fresh:
        return None
    # Until the event says that this run uses it, nothing but `adding` keeps it from a collector.
    with nullcontext() if store.is_readonly else store.adding():
        call = store.find(made_key.digest)
        if call is None:
            return None
        session.counts["found"] += 1
        seen = call.with_inputs(_refs(values))
        if not store.is_readonly:
            if seen.id != call.id:
                with store.records.transaction():
                    store.write_call(seen, None)
            store.places.note(seen, made_key.places.values())
        session.events.emit(
            "step.found", step=seen.step, key=seen.key[:16], call=seen.id, outputs=dict(seen.outputs)
        )
    return seen


def _refs(values: Mapping[str, Value | None]) -> dict[str, Ref]:
    return {
        name: Ref(value.digest, value.kind, value.made) for name, value in values.items() if value is not None
    }


def _outputs_of(call: Call, session: Session, read: Signature, step: Step) -> Any:
    assert session.store is not None
    outputs = {name: session.store.value(digest, Made(call, name)) for name, digest in call.outputs.items()}
    if list(outputs) == [ONLY]:
        return outputs[ONLY]
    kind = inspect.signature(step.fn).return_annotation
    return (step.fn.__globals__[kind] if isinstance(kind, str) else kind)(**outputs)


def _run(
    step: Step,
    made_key: key.Key,
    values: Mapping[str, Value | None],
    options: Mapping[str, Any],
    session: Session,
    decisions: Mapping[str, Any] | None,
) -> Any:
    read, started, clock = step.signature, now(), time.perf_counter()
    context = Context(session, read.address, made_key.digest, decisions)
    context.emit("step.start", options=_plain(options))
    splits = read.opens(options)
    views = [value.opened(splits) if isinstance(value, Dataset) else value for value in values.values()]
    functions = {name: find.load(value) for name, value in options.items()
                 if read.options[name].kind == "function" and isinstance(value, str)}  # fmt: skip
    extra = {"run": context} if read.wants_run else {}
    try:
        with guard.inside(read, splits):
            result = step.fn(*views, **{**options, **made_key.places, **functions}, **extra)
    except Exception as error:
        context.emit("step.failed", error=str(error))
        if (said := blame.told(error, read.address)) is not None:
            raise said from error
        raise
    outputs = _fields(read, result)
    call = Call(
        step=read.address, key=made_key.digest, code=made_key.code.digest, options=_plain(options),
        inputs=_refs(values), outputs={name: value.digest for name, value in outputs.items()},
        kinds={name: value.kind for name, value in outputs.items()}, decisions=context.decisions,
        environment=context.environment(), places=dict(made_key.places), sources=dict(made_key.sources),
        started=started, run=session.run,
        read=splits if any(isinstance(value, Dataset | Environment) for value in views) else (),
        seconds=round(time.perf_counter() - clock, 6),
    )  # fmt: skip
    session.counts["computed"] += 1
    outputs = {name: value.with_made(Made(call, name)) for name, value in outputs.items()}
    if (store := session.writable) is not None:
        inputs = [value for value in values.values() if value is not None]
        store.write(call, inputs, list(outputs.values()), made_key.code)
        outputs = {name: value.with_blobs(store.objects) for name, value in outputs.items()}
    context.emit("step.end", call=call.id, outputs=dict(call.outputs), seconds=call.seconds)
    return outputs[ONLY] if list(outputs) == [ONLY] else dataclasses.replace(result, **outputs)


def _fields(read: Signature, result: Any) -> dict[str, Value]:
    """A step's result by field: a single value under the empty name, a frozen record by its fields."""
    if isinstance(result, Value):
        if read.returns and result.kind.capitalize() not in read.returns:
            raise StepError(
                f"`{read.address}` says it returns {' or '.join(read.returns)} but returned {result!r}"
            )
        return {ONLY: result}
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        if fields and all(isinstance(value, Value) for value in fields.values()):
            return fields
    raise StepError(
        f"`{read.address}` must return a value or a frozen record of values, not {type(result).__name__}"
    )


def _address(function: Any) -> str:
    """Where a function is found again; an object that can be called is not, so its parentheses tell."""
    if hasattr(function, "__qualname__"):
        return f"{function.__module__}:{function.__qualname__}"
    return f"{type(function).__module__}:{type(function).__qualname__}()"


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON: a function by its address."""
    return {name: _address(value) if callable(value) else value for name, value in options.items()}
