"""calls: recorded calls as a table: what each made, with what options, and what it decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lichen.cli.terminal import seconds_text, table
from lichen.core import signature
from lichen.core.errors import LichenError
from lichen.core.lineage import Call


def call_table(calls: Sequence[Call], *, with_time: bool = False) -> str:
    """One line per call: what it made, its options that are not the usual ones, and what it decided."""
    head = (("when",) if with_time else ()) + ("made", "step", "took", "options")
    rows = [
        (
            *((when(call.started),) if with_time else ()),
            " ".join(digest[:10] for digest in call.outputs.values()),
            call.step + (" (accepted)" if call.is_accepted else ""),
            seconds_text(call.seconds),
            _options(call),
        )
        for call in calls
    ]
    lines = table([head, *rows], right=(head.index("took"),)).split("\n")
    for place, call in reversed(list(enumerate(calls))):
        lines[place + 2 : place + 2] = [
            f"    decided {name}: {_plain(choice)}" for name, choice in call.decisions.items()
        ]
    return "\n".join(lines)


def when(moment: str) -> str:
    return moment[:19].replace("T", " ")


def _options(call: Call) -> str:
    """The options that differ from the step's defaults; all where the step is no longer there."""
    try:
        usual = {name: option.default for name, option in signature.of("steps", call.step).options.items()
                 if option.kind != "source"}  # fmt: skip
    except LichenError:
        usual = {}
    return " ".join(f"{name}={_plain(given)}" for name, given in call.options.items()
                    if given is not None and (name not in usual or given != usual[name]))  # fmt: skip


def _plain(thing: Any) -> str:
    """A choice in few words: of a mapping its plain entries, of a list its items."""
    if isinstance(thing, dict):
        return ", ".join(
            f"{name} {_plain(part)}" for name, part in thing.items() if not isinstance(part, dict)
        )
    if isinstance(thing, list):
        return "[" + ", ".join(_plain(part) for part in thing) + "]"
    return thing if isinstance(thing, str) else json.dumps(thing)
