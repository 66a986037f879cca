"""shelves: `li.compress`, `li.studies`: what the file system offers, by attribute, imported when called."""

from __future__ import annotations

from typing import Any

from lichen.core import find
from lichen.core.errors import nearest


def names() -> list[str]:
    """The stages of a life, and `studies`."""
    return [*dict.fromkeys(address.partition(".")[0] for address in find.shelf("steps")), "studies"]


class Shelf:
    """One stage's steps, or the studies."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name not in dir(self):
            hint = nearest(name, dir(self))
            raise AttributeError(f"li.{self._name} has no `{name}`" + (f"; {hint}" if hint else ""))
        if self._name == "studies":
            return find.load(f"lichen.studies.{name}:{name}")
        from lichen.core.step import Step

        return Step(f"{self._name}.{name}")

    def __dir__(self) -> list[str]:
        if self._name == "studies":
            return sorted(find.shelf("studies"))
        return sorted(address.partition(".")[2] for address in find.shelf("steps")
                      if address.partition(".")[0] == self._name)  # fmt: skip

    def __repr__(self) -> str:
        return f"<lichen {self._name}: {', '.join(dir(self))}>"
