"""calling: one call of a step: bound, keyed, looked up, run, recorded.

On a hit the stored value is returned; on a miss the step runs and what it made is stored atomically. Without
a store the same happens in memory and nothing is looked up. Of several processes that live one life the first
does all this, and a training is run by all; see `peers`.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from lichen.core import blame, find, guard, key, peers
from lichen.core.context import Context
from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import OptionError, StepError, UsageError
from lichen.core.lineage import ONLY, Call, Made, Ref
from lichen.core.records import now
from lichen.core.schema import Signature, Taken
from lichen.core.session import Session
from lichen.core.value import Value

if TYPE_CHECKING:
    from lichen.core.step import Step


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
    given = {**dict(zip((taken.name for taken in read.values), args, strict=False)), **named}
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
    checked = step.signature.check(options)
    group = peers.met(session.torch_device) if session.store is not None else None
    if group is None:
        made_key = key.make(step.signature, step.own_code, values, checked, session)
        return _executed(step, made_key, values, checked, session, decisions)
    if group.rank == 0:
        return _led(step, values, checked, session, decisions)
    return _followed(step, values, checked, session, decisions, group)


def _executed(
    step: Step, made_key: key.Key, values: Mapping[str, Value | None], checked: Mapping[str, Any],
    session: Session, decisions: Mapping[str, Any] | None,
) -> Any:  # fmt: skip
    """One call of this process alone."""
    digest, store = made_key.digest, session.writable
    found = _hit(session, made_key, values)
    if found is None and store is not None:
        with store.lease(digest):
            found = _hit(session, made_key, values)  # by who held the lease until now
            if found is None:
                return _run(step, made_key, values, checked, session, decisions)
    if found is None:
        return _run(step, made_key, values, checked, session, decisions)
    return _outputs_of(found, session, step.signature, step)


def _led(
    step: Step, values: Mapping[str, Value | None], checked: Mapping[str, Any], session: Session,
    decisions: Mapping[str, Any] | None,
) -> Any:  # fmt: skip
    """One call as the first process sees it: it alone knows what the store has."""
    with ExitStack() as held:
        made_key, result = peers.settled(
            lambda: _looked_up(step, values, checked, session, decisions, held),
            lambda found: _said(step, values, checked, *found),
        )
        if result is None:
            result = _run(step, made_key, values, checked, session, decisions)
            peers.settled(lambda: _call_of(result))
    return result


def _looked_up(
    step: Step, values: Mapping[str, Value | None], checked: Mapping[str, Any], session: Session,
    decisions: Mapping[str, Any] | None, held: ExitStack,
) -> tuple[key.Key, Any]:  # fmt: skip
    """The key, and the result; None: all have to train for it, and then its lease is held."""
    store = session.writable
    if store is None:
        assert session.store is not None
        raise UsageError("several processes need a store that may be written",
                         where=str(session.store.folder), hint="--store another")  # fmt: skip
    made_key = key.make(step.signature, step.own_code, values, checked, session)
    if peers.TRAINS not in made_key.code.modules:
        return made_key, _executed(step, made_key, values, checked, session, decisions)
    held.enter_context(store.lease(made_key.digest))
    found = _hit(session, made_key, values)
    return made_key, found and _outputs_of(found, session, step.signature, step)


def _said(
    step: Step, values: Mapping[str, Value | None], checked: Mapping[str, Any], made_key: key.Key, result: Any
) -> dict[str, Any]:
    """What the others are told of a call."""
    return {"asked": _asked(step, values, checked), "key": made_key.digest, "places": dict(made_key.places),
            "call": None if result is None else _call_of(result)}  # fmt: skip


def _followed(
    step: Step, values: Mapping[str, Value | None], checked: Mapping[str, Any], session: Session,
    decisions: Mapping[str, Any] | None, group: peers.Group,
) -> Any:  # fmt: skip
    """The same call in the others: they help to train, and read the result from the store.

    Raises:
        StepError: the first process is at another call.
    """
    said, asked = peers.heard(group), _asked(step, values, checked)
    if said["asked"] != asked:
        raise StepError(
            f"the first process calls `{said['asked'][0]}`, this one `{asked[0]}`, or with other values",
            hint="all processes must make the same calls",
        )
    call = said["call"]
    if call is None:
        context = Context(session, step.address, said["key"], decisions)
        _made(step, values, checked, said["places"], context)
        call = peers.heard(group)
    assert session.store is not None
    return _outputs_of(session.store.call(call), session, step.signature, step)


def _asked(step: Step, values: Mapping[str, Value | None], options: Mapping[str, Any]) -> list[Any]:
    """What tells one call from another before its key is known."""
    return [step.address, _plain(options), {name: ref.digest for name, ref in _refs(values).items()}]


def _call_of(result: Any) -> str:
    """The id of the call that made a step's result."""
    value = result if isinstance(result, Value) else getattr(result, dataclasses.fields(result)[0].name)
    assert value.made is not None
    return value.made.call.id


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
    result = _made(step, values, options, made_key.places, context)
    outputs = _fields(read, result)
    call = Call(
        step=read.address, key=made_key.digest, code=made_key.code.digest, options=_plain(options),
        inputs=_refs(values), outputs={name: value.digest for name, value in outputs.items()},
        kinds={name: value.kind for name, value in outputs.items()}, decisions=context.decisions,
        environment=context.environment(), places=dict(made_key.places), sources=dict(made_key.sources),
        started=started, run=session.run,
        read=read.opens(options) if _sees_rows(values) else (),
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


def _made(
    step: Step, values: Mapping[str, Value | None], options: Mapping[str, Any], places: Mapping[str, str],
    context: Context,
) -> Any:  # fmt: skip
    """What the step's function returns, called with what it may see."""
    read = step.signature
    splits = read.opens(options)
    views = [value.opened(splits) if isinstance(value, Dataset) else value for value in values.values()]
    functions = {name: find.load(value) for name, value in options.items()
                 if read.options[name].kind == "function" and isinstance(value, str)}  # fmt: skip
    extra = {"run": context} if read.wants_run else {}
    try:
        with guard.inside(read, splits):
            return step.fn(*views, **{**options, **places, **functions}, **extra)
    except Exception as error:
        context.emit("step.failed", error=str(error))
        if (said := blame.told(error, read.address)) is not None:
            raise said from error
        raise


def _sees_rows(values: Mapping[str, Value | None]) -> bool:
    return any(isinstance(value, Dataset | Environment) for value in values.values())


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
