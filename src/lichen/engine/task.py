"""task: the object behind a task's name."""

from __future__ import annotations

import sys

from lichen.core import find
from lichen.core.errors import UnsafeInputError, UsageError
from lichen.core.protocols import Task

WORDS = ("name", "headline", "check", "inputs", "loss", "score", "reply")
"""What everything that is a task has; asked for before any of it is called."""


def task_of(name: str | None) -> Task:
    """The task of a name (`image_classification`) or of a user's `module:name`.

    Raises:
        UsageError: there is no task to speak of.
        NotFoundError: no such task.
    """
    if not name:
        raise UsageError("this model has no task, so it cannot be trained, scored or asked",
                         hint="li.wrap(module, task='image_classification')")  # fmt: skip
    if name.partition(":")[0].partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        raise UnsafeInputError(f"task `{name}` is a part of Python, not a task")
    found = find.load(name if ":" in name else f"{find.module_of('tasks', name)}:TASK")
    lacking = next((word for word in WORDS if not hasattr(found, word)), None)
    if lacking:
        raise UsageError(f"`{name}` is no task: it has no `{lacking}`")
    return found
