"""records: `show`, `log` and `models`: what the store knows, without importing torch or numpy."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lichen.cli.calls import call_table, when
from lichen.cli.main import Answer, Verb, argument
from lichen.cli.terminal import table
from lichen.core.errors import LichenError, NotFoundError

if TYPE_CHECKING:
    from lichen.core.store import Store
    from lichen.core.value import Value


OTHER = {"rows": " of other data", "episodes": " of another environment"}
"""What is said of scores that are not of the life's own ground."""


def here() -> Store:
    """The store of this folder.

    Raises:
        NotFoundError: there is none at or above it.
    """
    from lichen.core.store import Store, find_folder, is_store

    folder = find_folder()
    if os.environ.get("LICHEN_STORE") and not (folder and is_store(folder)):
        raise NotFoundError("there is no store here", where=str(folder), hint="a store is a .lichen folder")
    if folder is None or not is_store(folder):
        raise NotFoundError(
            "there is no store (.lichen) in this folder or above it", hint="lichen run recipe.yaml"
        )
    know_own(folder.parent)
    return Store(folder)


def know_own(folder: Path) -> None:
    """Steps, nets and tasks of one's own are found beside the recipe or the store, and in `units/` there."""
    own = [str(folder.absolute()), str((folder / "units").absolute())]
    sys.path[:] = [*own, *(place for place in sys.path if place not in own)]


def show(given: Namespace) -> Answer:
    """What a value is, how it was made, and the recipe that makes it again."""
    store = here()
    value = store.resolve(given.value)
    names = [entry["name"] for entry in store.names.all() if entry["digest"] == value.digest]
    recipe = _recipe(value, names[0].partition("@")[0] if names else "life")
    if given.recipe:
        return Answer(recipe or "", {"recipe": recipe})
    scores = scores_of(value, store)
    data = {
        "digest": value.digest,
        "kind": value.kind,
        "names": names,
        "facts": value.facts(),
        "scores": scores,
        "lineage": _lineage(value),
        "recipe": recipe,
    }
    lines = [repr(value)] + ([f"names: {', '.join(names)}"] if names else [])
    for score in scores:
        other = "" if score["is_own"] else OTHER[score["unit"]]
        lines.append(
            f"{score['split']}: {score['headline']} {score['value']:.4f} [{score['low']:.4f}, "
            f"{score['high']:.4f}] on {score['num_rows']} {score['unit']}{other}"
        )
    if value.made:
        lines += ["", call_table(value.made.call.history())]
    return Answer("\n".join(lines + (["", recipe] if recipe else [])), data)


def _recipe(value: Value, name: str) -> str | None:
    from lichen.core import life, recipefile

    return recipefile.dump(life.of(value, name)) if value.made else None


def _lineage(value: Value) -> list[dict[str, Any]]:
    return [call.record() for call in value.made.call.history()] if value.made else []


def scores_of(value: Value, store: Store) -> list[dict[str, Any]]:
    """Recorded scores of a value, the newest per split and data; those on its own data first."""
    from lichen.core import tally

    own = _own_grounds(value, store)
    found = {(scores.split, scores.manifest["data"]): {
        "split": scores.split, "headline": scores.headline, "num_rows": scores.num_rows, "unit": scores.unit,
        **scores.metrics[scores.headline], "digest": scores.digest,
        "is_own": not own or scores.manifest["data"] in [one.identity((scores.split,)) for one in own],
    } for _, scores in tally.recorded(value, store)}  # fmt: skip
    return sorted(found.values(), key=lambda score: not score["is_own"])


def _own_grounds(value: Value, store: Store) -> list[Value]:
    """The last data and the last environment in a value's lineage, as far as the store has them."""
    history = value.made.call.history() if value.made else []
    found = []
    for kind in ("dataset", "environment"):
        digests = [ref.digest for call in history for ref in call.inputs.values() if ref.kind == kind]
        if digests:
            with suppress(LichenError):
                found.append(store.value(digests[-1]))
    return found


def log(given: Namespace) -> Answer:
    """The runs of this store, or the calls and the test openings along a value's lineage."""
    store = here()
    if given.track:
        return _replay(store, given)
    if given.value:
        value = store.resolve(given.value)
        calls = value.made.call.history() if value.made else []
        opened = _openings(value, store)
        text = f"{call_table(calls, with_time=True)}\n\n" if calls else "no step made it\n"
        text += f"test opened {opened} time(s) along this lineage"
        return Answer(text, {"calls": [call.record() for call in calls], "times_opened": opened})
    rows = _runs(store, given.num)
    text = table(
        [
            ("when", "what", "status", "computed", "found", "run"),
            *(
                (row["when"], row["what"], row["status"], str(row["computed"]), str(row["found"]), row["run"])
                for row in rows
            ),
        ],
        right=(3, 4),
    )
    return Answer(text if rows else "no runs yet: lichen run recipe.yaml", rows)


def _replay(store: Store, given: Namespace) -> Answer:
    """Feeds the events of a finished run to trackers."""
    from lichen.cli.running import tracker
    from lichen.core import events
    from lichen.core.errors import NotFoundError, nearest

    runs = sorted(folder.name for folder in (store.folder / "runs").iterdir())
    run = given.value or (runs[-1] if runs else "")
    if run not in runs:
        raise NotFoundError(f"no run `{run}`", hint=nearest(run, runs))
    sinks = [tracker(text) for text in given.track]
    counts = [events.replay(store.folder / "runs" / run / "events.jsonl", sink) for sink in sinks]
    return Answer(f"replayed {counts[0]} events of {run}", {"run": run, "events": counts[0]})


def _openings(value: Value, store: Store) -> int:
    from lichen.core import tally
    from lichen.core.session import Session

    return tally.times_opened(value, Session(store=store))


def _runs(store: Store, num: int) -> list[dict[str, Any]]:
    """The newest runs, by their events."""
    from lichen.core import events

    rows = []
    for folder in sorted((store.folder / "runs").iterdir(), reverse=True)[:num]:
        seen = list(events.read(folder / "events.jsonl"))
        start = next((event for event in seen if event["kind"] == "run.start"), {})
        end: dict[str, Any] = next((event for event in reversed(seen) if event["kind"] == "run.end"), {})
        at = datetime.fromtimestamp(start["at"]).strftime("%Y-%m-%d %H:%M:%S") if start else "-"
        rows.append(
            {
                "run": folder.name,
                "when": at,
                "what": _what(start),
                "recipe": start.get("recipe", "-"),
                "status": end.get("status", "killed or running"),
                "computed": end.get("computed", 0),
                "found": end.get("found", 0),
            }
        )
    return rows


def _what(start: dict[str, Any]) -> str:
    """What a run did, as it was typed."""
    if start.get("recipe"):
        return " ".join(["run", start["recipe"], *start.get("changes", ())])
    return " ".join(str(start[name]) for name in ("verb", "study", "value") if start.get(name)) or "-"


def models(given: Namespace) -> Answer:
    """Names and what they point at."""
    store = here()
    rows = []
    for entry in store.names.all():
        value = store.resolve(entry["name"])
        best = scores_of(value, store)
        shown = "; ".join(
            f"{score['split']} {score['headline']} {score['value']:.4f}" for score in best if score["is_own"]
        )
        rows.append(
            {
                "name": entry["name"],
                "digest": entry["digest"],
                "kind": entry["kind"],
                "facts": value.facts(),
                "scores": best,
                "shown": shown,
                "moved": entry["moved"],
            }
        )
    if not rows:
        return Answer("no names yet: lichen run recipe.yaml", [])
    text = table(
        [
            ("name", "value", "what", "scores", "moved"),
            *(
                (
                    row["name"],
                    row["digest"][:10],
                    f"{row['kind']} " + " ".join(list(row["facts"].values())[:3]),
                    row["shown"],
                    when(row["moved"]),
                )
                for row in rows
            ),
        ]
    )
    return Answer(text, [{name: row[name] for name in row if name != "shown"} for row in rows])


VALUE = argument("value", help="a name (digits, digits@prod) or the start of a digest")
VERBS = {
    "show": Verb("what a value is, how it was made, and its recipe", show, (
        VALUE, argument("--recipe", action="store_true", help="only the recipe, as YAML"),
    )),
    "log": Verb("runs of this store, or the calls behind a value", log, (
        argument("value", nargs="?", help="a name or the start of a digest; with --track a run"),
        argument("--track", action="append", default=[], metavar="NAME:PLACE",
                 help="replay a run's events to tensorboard:FOLDER or mlflow:URI"),
        argument("-n", "--num", type=int, default=20, help="how many runs"),
    )),
    "models": Verb("names and what they point at", models),
}  # fmt: skip
