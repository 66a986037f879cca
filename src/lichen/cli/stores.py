"""stores: `store` (what it holds, whether it is whole, what can go) and `doctor` (is this machine fit)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lichen.cli import moving
from lichen.cli.main import Answer, Verb, argument
from lichen.cli.records import here
from lichen.cli.terminal import table
from lichen.core.value import size_text


def store(given: Namespace) -> Answer:
    """One of the things that can be done with a store as a whole."""
    from lichen.core.errors import UsageError

    action = ACTIONS[given.action]
    usage = f"lichen store {given.action} {action.words}".rstrip()
    words, count = action.words.split(), len(given.words)
    required = [word for word in words if not word.startswith("[")]
    if count < len(required):
        raise UsageError(f"`store {given.action}` needs {' '.join(required[count:])}", hint=usage)
    if count > len(words) and not action.words.endswith("...]"):
        raise UsageError(f"`store {given.action}` takes no `{given.words[len(words)]}`", hint=usage)
    for flag, actions in FLAGS.items():
        if getattr(given, flag) and given.action not in actions:
            word = f"--{flag.replace('_', '-')}"
            raise UsageError(f"`store {given.action}` takes no {word}; `store {actions[0]}` does")
    return action.run(given)


def _info(given: Namespace) -> Answer:
    """Where the store is and what it holds."""
    place = here()
    counts = {
        row["kind"]: row["n"]
        for row in place.records.rows("SELECT kind, count(*) AS n FROM vals GROUP BY kind")
    }
    sizes = [place.objects.facts(blob)[0] for blob in place.objects]
    data: dict[str, Any] = {
        "folder": str(place.folder),
        "read_only": place.is_readonly,
        "values": counts,
        "calls": _count(place, "calls"),
        "names": _count(place, "names"),
        "checkpoints": _count(place, "checkpoints"),
        "runs": sum(1 for _ in (place.folder / "runs").iterdir()) if (place.folder / "runs").is_dir() else 0,
        "blobs": len(sizes),
        "blob_bytes": sum(sizes),
        "records_bytes": place.records.size_bytes,
    }
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
    rows = [
        ("store", f"{data['folder']}{' (read-only)' if place.is_readonly else ''}"),
        ("values", kinds),
        ("calls", f"{data['calls']} in {data['runs']} runs"),
        ("names", str(data["names"])),
        ("blobs", f"{len(sizes)}, {size_text(sum(sizes))}"),
        ("records", size_text(data["records_bytes"])),
    ]
    if data["checkpoints"]:
        rows.append(
            ("unfinished", f"{data['checkpoints']} steps go on from a checkpoint when they are run again")
        )
    return Answer(table(rows), data)


def _count(place: Any, name: str) -> int:
    return place.records.row(f"SELECT count(*) AS n FROM {name}")["n"]


def _check(given: Namespace) -> Answer:
    """Re-hashes everything; exit code 1 when something is damaged."""
    from dataclasses import asdict

    from lichen.core.check import check

    place = here()
    found = check(place)
    data = {"folder": str(place.folder), "damages": [asdict(damage) for damage in found]}
    if not found:
        blobs = sum(1 for _ in place.objects)
        return Answer(
            f"whole: {blobs} blobs and {_count(place, 'vals')} values are what their names say", data
        )
    lines = [
        *map(str, found),
        f"{len(found)} damaged or missing; a step whose result it was is computed again when it is next run",
    ]
    return Answer("\n".join(lines), data, 1)


def _gc(given: Namespace) -> Answer:
    """Frees what no name, checkpoint or recent run needs."""
    from dataclasses import asdict

    from lichen.core.gc import collect

    place = here()
    freed = collect(place, is_dry=given.dry_run)
    verb = "would free" if given.dry_run else "freed"
    said = f"{verb} {freed.values} values and {freed.blobs} blobs, {size_text(freed.size_bytes)}"
    kept = f"what names, their histories and the last {'week' if place.is_shared else 'hour'} need is kept"
    return Answer(f"{said}; {kept}", {**asdict(freed), "dry_run": given.dry_run})


def _accept(given: Namespace) -> Answer:
    """Takes old calls over to today's code."""
    from lichen.core.accept import accept

    taken = accept(here(), given.words or None)
    rows = [{"step": call.step, "id": call.id, "outputs": list(call.outputs.values())} for call in taken]
    if not taken:
        return Answer("nothing to accept: every call whose inputs are here is keyed by today's code", rows)
    shown = table(
        [
            ("step", "result"),
            *((call.step, " ".join(digest[:10] for digest in call.outputs.values())) for call in taken),
        ]
    )
    return Answer(f"{shown}\n\n{len(taken)} calls stand for today's code now, marked accepted", rows)


def doctor(given: Namespace) -> Answer:
    """Whether this machine is fit for lichen; exit code 1 when something must be mended."""
    from dataclasses import asdict

    from lichen.cli import doctor as doctors

    found = doctors.examine(asks_network=given.network)
    worst = "fail" if any(one.state == "fail" for one in found) else "ok"
    return Answer("\n".join(map(str, found)), [asdict(one) for one in found], 1 if worst == "fail" else 0)


@dataclass(frozen=True, slots=True)
class Action:
    """What `lichen store` can do, with the words that follow; those in brackets may be missing."""

    run: Callable[[Namespace], Answer]
    words: str = ""


ACTIONS = {
    "info": Action(_info),
    "check": Action(_check),
    "gc": Action(_gc),
    "accept": Action(_accept, "[STEP...]"),
    "push": Action(moving.push, "VALUE STORE"),
    "pull": Action(moving.pull, "VALUE STORE"),
    "export": Action(moving.put_out, "VALUE FILE"),
    "import": Action(moving.take_in, "FILE [NAME]"),
    "join": Action(moving.join, "RECORDS OBJECTS"),
}
FLAGS = {"dry_run": ("gc",), "whole": ("push", "pull")}
"""Actions that take a flag."""
VERBS = {
    "store": Verb(
        "what the store holds; check it, free space, move values, join a team's",
        store,
        (
            argument(
                "action",
                nargs="?",
                default="info",
                choices=list(ACTIONS),
                help="info (default); check re-hashes everything; gc frees what nothing needs; accept takes "
                "results of older code as today's; push and pull move a value with its lineage to and from "
                "another store; export and import make and read one file; join makes this folder part of a "
                "team's store",
            ),
            argument(
                "words",
                nargs="*",
                metavar="WORD",
                help="accept [STEP...]; push, pull VALUE STORE; export "
                "VALUE FILE; import FILE [NAME]; join postgresql://USER@HOST/DATABASE s3://BUCKET/PREFIX",
            ),
            argument("--dry-run", action="store_true", help="gc: say what would go, and remove nothing"),
            argument("--whole", action="store_true", help="push, pull: the values of the lineage too"),
        ),
    ),
    "doctor": Verb(
        "whether this machine and installation are fit, and what to do",
        doctor,
        (argument("--network", action="store_true", help="also ask whether the hub can be reached"),),
    ),
}
