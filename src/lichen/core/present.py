"""present: the code that a value's own net and task are in this process now, cheap to ask for again.

What was built from them goes on as it was when a module is reloaded or a cell of a notebook is run again.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lichen.core import capture, code, find, own
from lichen.core.errors import LichenError
from lichen.core.value import Value


@dataclass(frozen=True, slots=True)
class Present:
    """What stands at places of a user's modules: a reload puts another spec there, a cell another thing."""

    seen: tuple[tuple[str, tuple[str, ...], Any], ...] = ()
    """Module, names below it, and what was there."""

    def still_holds(self) -> bool:
        return all(_at(module, names) is thing for module, names, thing in self.seen)


def behind(value: Value) -> Present:
    """Of the nets and the task that a value names by `module:name`; nothing of lichen's own."""
    parts = value.manifest.get("parts", {}).values()
    nets = [part["net"] for part in parts if part["net"] and ":" in part["net"]]
    task = (value.manifest.get("task") or {}).get("name") or ""
    places = {place: None for net in nets for place in _places(net, own.NETS)}
    if ":" in task:
        places.update(dict.fromkeys(_places(task, own.TASKS)))
    return Present(tuple((module, names, _at(module, names)) for module, names in places))


def _places(address: str, known: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Where a unit and all that its code leads to stand; of code that cannot be followed the unit alone."""
    found = {address: ""}
    with suppress(LichenError):
        is_followed = address not in known and not capture.is_importable(address.partition(":")[0])
        unit = capture.function(find.load(address)) if is_followed else capture.unit(address, known)
        found.update(code.gathered([unit]).modules)
    return [
        place for name in found if not f"{name}.".startswith("lichen.") and name[0] != "<"
        for place in _named(name)
    ]  # fmt: skip


def _named(name: str) -> list[tuple[str, tuple[str, ...]]]:
    """The places of `module`, of `module:function`, and of what it uses, `module:function<used>`."""
    module, _, rest = name.partition(":")
    if not rest:
        return [(module, ("__spec__",))]
    path, _, used = rest.partition("<")
    return [(module, (used[:-1],) if used else tuple(path.partition("#")[0].split(".")))]


def _at(module: str, names: tuple[str, ...]) -> Any:
    thing: Any = sys.modules.get(module)
    for name in names:
        thing = getattr(thing, name, None)
    return thing
