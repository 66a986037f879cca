"""why: which file, option, input or package made a call miss what the store holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core import step
from lichen.core.errors import LichenError
from lichen.core.key import Key
from lichen.core.lineage import Call
from lichen.core.store import Store


def reasons(key: Key, options: Mapping[str, Any], store: Store) -> list[str]:
    """Why a key is not in the store, against the recorded call of the step that is most like it.

    Args:
        options: the call's options as given, for showing.
    """
    rows = store.records.rows(
        "SELECT id FROM calls WHERE step = ? ORDER BY created DESC LIMIT 50", [key.step]
    )
    calls = [store.call(row["id"]) for row in rows]
    if not calls:
        return [f"`{key.step}` was never run in this store"]
    return min((differences(key, options, call, store) for call in calls), key=len)


def differences(key: Key, options: Mapping[str, Any], call: Call, store: Store) -> list[str]:
    """What sets a key apart from a recorded call, one line each."""
    if call.key == key.digest:
        return []
    said = [
        f"option `{name}`: {call.options.get(name)!r} -> {value!r}"
        for name, value in options.items()
        if call.options.get(name) != value
    ]
    said += [
        f"data source `{call.options.get(name)}` (option `{name}`): its content changed"
        for name, content in key.sources.items()
        if call.options.get(name) == options.get(name, call.options.get(name))
        and call.sources.get(name) != content
    ]
    detail = store.detail(call.code)
    said += _changed("code", detail["modules"], key.code.modules)
    said += _changed("package", detail["packages"], key.code.packages)
    for name in key.inputs:
        ref = call.inputs.get(name)
        made = ref.made.call.step if ref and ref.made else "outside"
        if ref is None or not _same_input(store, ref.digest, key.inputs[name], call):
            said.append(
                f"input `{name}` is another value (then {ref.digest[:10] if ref else 'none'}, from {made})"
            )
    said += [f"input `{name}` is no longer given" for name in call.inputs if name not in key.inputs]
    return said or ["the content of a data source or a captured function changed"]


def _same_input(store: Store, digest: str, identity: str, call: Call) -> bool:
    try:
        value = store.value(digest)
    except LichenError:
        return False
    return identity in (
        value.digest,
        value.identity(step.by_address(call.step).signature.opens(call.options)),
    )


def _changed(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = sorted({*old, *new})
    return [
        f"{what} `{name}`: " + (
            f"{old[name]} -> {new[name]}" if what == "package" and name in old and name in new
            else "changed" if name in old and name in new else "added" if name in new else "no longer used"
        )
        for name in names if old.get(name) != new.get(name)
    ]  # fmt: skip
