"""accept: takes recorded calls over to today's code: a changed version is not automatically a wrong value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lichen.core import key, step
from lichen.core.errors import LichenError
from lichen.core.lineage import Call, Made, Ref
from lichen.core.replay import recorded_options
from lichen.core.session import Session
from lichen.core.store import Store
from lichen.core.value import Value


def accept(store: Store, addresses: list[str] | None = None) -> list[Call]:
    """Re-keys recorded calls whose inputs and options are what they were and whose code is not.

    The newest call of each new key is taken, parents first; the old records stay, and what was computed under
    today's code already is left alone.

    Args:
        addresses: of the steps to accept; None: every step of the store.

    Returns:
        The calls as they now stand, each marked accepted. Calls are passed over whose step, options or data
        source are no longer there or hold something else.

    Raises:
        NotFoundError: no such step.
    """
    for address in addresses or ():
        step.by_address(address)
    session = Session(store=store)
    chosen: dict[str, tuple[Call, key.Key]] = {}
    for call in _calls(store, addresses):
        made_key = _key_today(call, session)
        if made_key is not None and made_key.digest not in chosen and store.find(made_key.digest) is None:
            chosen[made_key.digest] = call, made_key
    taken: dict[str, Call] = {}
    with store.adding(), store.records.transaction():
        for call, made_key in reversed(chosen.values()):
            taken[call.id] = _rewritten(call, made_key, taken)
            store.write_call(taken[call.id], made_key.code)
    return list(taken.values())


def _calls(store: Store, addresses: list[str] | None) -> Iterator[Call]:
    """Recorded calls, newest first, so that children stand before their parents."""
    known: dict[str, Call] = {}
    rows = store.records.rows("SELECT id, step, created FROM calls")
    found = [(row["created"], store.call(row["id"], known)) for row in rows
             if addresses is None or row["step"] in addresses]  # fmt: skip
    # Of one millisecond the call with more behind it is the younger.
    found.sort(key=lambda one: (one[0], len(one[1].history())), reverse=True)
    yield from (call for _, call in found)


def _key_today(call: Call, session: Session) -> key.Key | None:
    assert session.store is not None
    try:
        one = step.by_address(call.step)
        values: dict[str, Value | None] = {taken.name: None for taken in one.signature.values}
        values.update({name: session.store.value(ref.digest) for name, ref in call.inputs.items()})
        options = one.signature.check(recorded_options(call, 0))
        made_key = key.make(one.signature, one.own_code, values, options, session)
    except LichenError:
        return None
    return made_key if dict(made_key.sources) == dict(call.sources) else None


def _rewritten(call: Call, made_key: key.Key, taken: dict[str, Call]) -> Call:
    inputs = {name: _ref(ref, taken) for name, ref in call.inputs.items()}
    return replace(call, key=made_key.digest, code=made_key.code.digest, inputs=inputs, is_accepted=True)


def _ref(ref: Ref, taken: dict[str, Call]) -> Ref:
    if ref.made is None or ref.made.call.id not in taken:
        return ref
    return replace(ref, made=Made(taken[ref.made.call.id], ref.made.field))
