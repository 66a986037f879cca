"""lives: `run` a recipe, say `why` it would run again, and write a `new` one for a folder of data."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from lichen.cli.main import Answer, Verb, argument
from lichen.cli.records import here, know_own


def run(given: Namespace) -> Answer:
    """Runs a recipe: one row of the life table per step, the test once at the end, then its studies."""
    from lichen.cli.running import Running
    from lichen.core import flow, life, peers, recipefile, session
    from lichen.core.override import override
    from lichen.core.store import FOLDER, find_folder

    path = Path(given.recipe)
    recipe = override(recipefile.read(path), given.changes)
    know_own(path.parent)
    flow.check(recipe)
    folder = find_folder() or Path.cwd() / FOLDER
    if peers.follows():
        with session.opened(folder, is_fresh=given.fresh, device=given.device) as opened:
            life.run(recipe, opened)
        given.json = False  # the first process answers
        return Answer()
    running = Running(recipe, is_quiet=given.json, trackers=given.track)
    about = {"recipe": str(path), "argv": sys.argv[1:], "changes": given.changes}
    with session.opened(
        folder,
        sinks=running.sinks,
        is_fresh=given.fresh,
        device=given.device,
        measures_again=given.measure_again,
        verifies=given.verify,
        about=about,
    ) as opened:
        running.live(opened, test=not given.no_test)
    return Answer(running.closing(opened), running.as_json(opened), 1 if running.says_no else 0)


def new(given: Namespace) -> Answer:
    """Looks at data and writes a recipe that suits it."""
    from lichen.cli.starting import suggest

    text, summary = suggest(given.source, label=given.label, text=given.text, target=given.target)
    path = Path(given.out)
    data: dict[str, Any] = {"recipe": str(path), "data": summary}
    if path.exists() and not given.force:
        from lichen.core.errors import UsageError

        raise UsageError(f"`{path}` exists", hint="--out another.yaml, or --force")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        from lichen.core.disk import disk_error

        raise disk_error(error, path) from error
    return Answer(f"{text}\nwrote {path}; run it: lichen run {path}", data)


def why(given: Namespace) -> Answer:
    """For each step of a recipe: found in the store, or what made it miss."""
    from lichen.core import calling, flow, key, recipefile, step, why
    from lichen.core.life import Chain
    from lichen.core.override import override
    from lichen.core.session import Session, using

    store = here()
    path = Path(given.recipe)
    know_own(path.parent)
    life = override(recipefile.read(path), given.changes)
    flow.check(life)
    session, chain = Session(store=store), Chain()
    said: list[dict[str, Any]] = []
    with using(session):
        for line in life.lines:
            one = step.by_address(line.step)
            values = {taken.name: chain.refer(line.values[taken.name], session) if taken.name in line.values
                      else None if taken.may_be_none else chain.take(taken.kinds)
                      for taken in one.signature.values}  # fmt: skip
            options = one.signature.check(line.options)
            made = key.make(one.signature, one.own_code, values, options, session)
            found = store.find(made.digest)
            said.append({"step": line.step, "found": bool(found),
                         "reasons": [] if found else why.reasons(made, options, store)})  # fmt: skip
            if found is None:
                break
            chain.give(calling.execute(one, values, line.options, session), line.label)
    rest = len(life.lines) - len(said)
    lines = [
        f"{'found ' if entry['found'] else 'missed'}  {entry['step']}"
        + "".join(f"\n          {reason}" for reason in entry["reasons"])
        for entry in said
    ]
    if rest:
        lines.append(f"the {rest} step(s) after it depend on its result")
    return Answer("\n".join(lines), said)


VERBS = {
    "run": Verb("run a recipe; what the store has is not computed again", run, (
        argument("recipe", help="a recipe's YAML file"),
        argument("changes", nargs="*", metavar="key=value", help="such as train.epochs=20 or data=photos/"),
        argument("--fresh", action="store_true", help="compute even what the store has"),
        argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="where tensors live"),
        argument("--measure-again", action="store_true", help="ignore this machine's past decisions"),
        argument("--verify", action="store_true", help="re-hash every byte of the data"),
        argument("--track", action="append", default=[], metavar="NAME:PLACE",
                 help="also write to tensorboard:FOLDER or mlflow:URI"),
        argument("--no-test", action="store_true", help="leave the test split closed"),
    )),
    "why": Verb("which file, option or input makes a step of a recipe run again", why, (
        argument("recipe", help="a recipe's YAML file"),
        argument("changes", nargs="*", metavar="key=value", help="such as train.epochs=20"),
    )),
    "new": Verb("look at a folder of data and write a sensible recipe", new, (
        argument("source", help="a folder, file or name of data"),
        argument("--label", help="the column of labels, if it is not found"),
        argument("--text", help="the column of texts, if it is not found"),
        argument("--target", help="the column of what each text is in another language"),
        argument("--out", default="recipe.yaml", help="where to write it"),
        argument("--force", action="store_true", help="overwrite it"),
    )),
}  # fmt: skip
