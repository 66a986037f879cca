"""progress: what a step is handed while it runs: decisions, events and checkpoints, never part of its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from lichen.core.array import Array

Choice = TypeVar("Choice")


class Run(Protocol):
    """The context of one step call. A step that wants it declares a keyword `run: Run`."""

    device: str
    """Where tensors live: `cpu` or `cuda`."""

    def decide(
        self, name: str, measure: Callable[[], Choice], *, about: Mapping[str, Any] | None = None
    ) -> Choice:
        """Settles a choice by measuring, and writes it into the lineage.

        A replayed call returns the recorded choice; otherwise this machine's table of past decisions about
        the same thing is asked, and only then is `measure` called.

        Args:
            name: of the decision, unique within the step: `threads`, `precision`, `runtime`.
            measure: returns the choice as JSON (numbers, strings, lists, mappings).
            about: what the choice depends on beside the machine: shapes, net, batch size. None: this choice
                is an accident of the run (an early stop, a retry) and is never taken from the table.
        """
        ...

    def recorded(self, name: str) -> Any:
        """The choice that a replayed call will take, before it is to be taken; None: there is none.

        An end must be asked for so: on another machine what brought it about may never come.
        """
        ...

    def emit(self, kind: str, **fields: Any) -> None:
        """Appends an event: `history` (epoch, loss, metric, rate), `progress` (done, total), `note`."""
        ...

    def restore(self) -> tuple[dict[str, Any], dict[str, Array]] | None:
        """The last checkpoint of this very call: what was passed to `checkpoint`, or None."""
        ...

    def checkpoint(self, state: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Keeps the state of this call durably, so that a killed run goes on from here."""
        ...

    def wants_checkpoint(self) -> bool:
        """Whether enough time has passed since the last one that another is worth its cost."""
        ...
