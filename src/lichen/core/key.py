"""key: the name of a step call before it runs: step, code, options, and the identities of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lichen.core import capture, code, find, guard, loaded
from lichen.core import own as units
from lichen.core.digest import FORMAT, digest_json
from lichen.core.errors import OptionError
from lichen.core.schema import Signature
from lichen.core.session import Session
from lichen.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A call key and what it was made of."""

    step: str
    code: code.Code
    options: Mapping[str, Any]
    inputs: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)
    """Content of data sources; in the digest as the options that name them."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where data sources were found; not part of the digest."""

    @property
    def digest(self) -> str:
        return digest_json({"format": FORMAT, "step": self.step, "code": self.code.digest,
                            "options": dict(self.options), "inputs": dict(self.inputs)})  # fmt: skip


def make(
    signature: Signature,
    own: code.Code | None,
    values: Mapping[str, Value | None],
    options: Mapping[str, Any],
    session: Session,
) -> Key:
    """The key of a call.

    Args:
        own: code of a step that has no file of its own (a script's, a notebook's).
        options: checked and complete.

    Raises:
        UnkeyableError: code or a captured object cannot be hashed.
        NotFoundError: an option names a net, task or source that does not exist.
        LeakError: the call would learn from test, or measure on rows that were learnt from.
    """
    guard.check(signature, values, options, session)
    splits = signature.opens(options)
    identities = {
        name: _identity(signature, value, splits) for name, value in values.items() if value is not None
    }
    hashed, sources, places, parts = {}, {}, {}, list[str | code.Code]()
    for name, option in signature.options.items():
        value = hashed[name] = options[name]
        if value is None:
            continue
        if option.kind == "source":
            hashed[name], places[name] = _source(value, session)
            sources[name] = hashed[name]
            parts += reader_modules()
        elif option.kind == "function":
            followed = capture.function(value if callable(value) else find.load(value))
            parts.append(followed)
            hashed[name] = followed.digest
        elif option.kind in ("net", "task"):
            hashed[name], found = _unit(option.kind, value)
            parts.append(found)
    parts += [part for value in values.values() if value is not None for part in capture.behind(value)]
    parts.append(step_module(signature.address) if own is None else own)
    if ":" in signature.address:
        parts += find.BEHIND_VALUES
    whole = code.gathered(parts)
    loaded.check_names(whole.modules)
    return Key(step=signature.address, code=whole, options=hashed, inputs=identities, sources=sources,
               places=places)  # fmt: skip


def _unit(kind: str, name: str) -> tuple[str, str | code.Code]:
    """The full address and the code of a net or task that an option names."""
    if kind == "net" and ":" not in name:
        name = units.net_address(name)
    if ":" in name:
        return name, capture.unit(name, units.NETS if kind == "net" else units.TASKS)
    return name, find.net_module(name) if kind == "net" else find.module_of("tasks", name)


def _identity(signature: Signature, value: Value, splits: tuple[str, ...]) -> str:
    """What of a value counts: of data the splits that are opened; all of it where data are handed on."""
    if "Dataset" in signature.returns or "Dataset" in signature.fields.values():
        return value.digest
    return value.identity(splits)


def step_module(address: str) -> str:
    return address.partition(":")[0] if ":" in address else find.module_of("steps", address)


def reader_modules() -> list[str]:
    return [f"lichen.data.readers.{name}" for name in find.shelf("data/readers")]


def _source(name: str, session: Session) -> tuple[str, str]:
    """Content digest and place of a data source."""
    if not isinstance(name, str):
        raise OptionError(f"a data source is a name or a path, not {name!r}")
    index = session.writable.index_path if session.writable else None
    digest, place = find.load("lichen.data.sources:fingerprint")(name, index, verify=session.verifies)
    return digest, str(place)
