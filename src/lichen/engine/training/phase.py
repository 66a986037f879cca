"""phase: a part of a step that trains by itself before the main loop, such as the head alone.

It is short, so it keeps no checkpoints: a resumed step goes through it again, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lichen.core.array import Array
from lichen.core.progress import Choice, Run


class Phase:
    """A Run whose decisions and events carry the phase's name."""

    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name
        self.device = run.device

    def decide(
        self, name: str, measure: Callable[[], Choice], *, about: Mapping[str, Any] | None = None
    ) -> Choice:
        return self.run.decide(f"{self.name}.{name}", measure, about=about)

    def recorded(self, name: str) -> Any:
        return self.run.recorded(f"{self.name}.{name}")

    def emit(self, kind: str, **fields: Any) -> None:
        self.run.emit(kind, phase=self.name, **fields)

    def restore(self) -> tuple[dict[str, Any], dict[str, Array]] | None:
        return None

    def checkpoint(self, state: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        return None

    def wants_checkpoint(self) -> bool:
        return False
