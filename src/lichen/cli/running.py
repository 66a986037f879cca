"""running: what `lichen run` shows while a life goes on and when it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from lichen.cli import terminal
from lichen.core import find, life, lineage, peers, signature, tally
from lichen.core.environment import Environment
from lichen.core.errors import UsageError, nearest
from lichen.core.events import Sink
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.recipe import Line, Recipe, position, settled
from lichen.core.session import Session
from lichen.core.value import Value, size_text

TRACKERS = ("tensorboard", "mlflow")


def tracker(text: str) -> Sink:
    """A sink by `name:place`: `tensorboard:runs/` or `mlflow:http://host:5000`.

    Raises:
        UsageError: not of that form, or no such tracker.
    """
    name, colon, place = text.partition(":")
    if name not in TRACKERS or not colon:
        raise UsageError(
            f"a tracker is `tensorboard:FOLDER` or `mlflow:URI`, not `{text}`", hint=nearest(name, TRACKERS)
        )
    return find.load(f"lichen.report.{name}:sink")(place)


class Running:
    """One `lichen run`: rows as they come, then the end."""

    def __init__(self, recipe: Recipe, *, is_quiet: bool, trackers: Sequence[str] = ()) -> None:
        self.recipe = recipe
        self.trackers = tuple(tracker(text) for text in trackers)
        self.is_quiet = is_quiet
        self.progress = terminal.Progress()
        self.rows: list[dict[str, Any]] = []
        self.test: dict[str, Any] | None = None
        self.studies: dict[str, Any] = {}
        self.says_no = False
        """Whether a study answered no."""
        self.found: dict[str, bool] = {}
        self.value: Value | None = None
        self.report: str | None = None
        self.pretraining: list[str] = []
        """A line on what pretrained weights were worth, where the life began with some."""

    @property
    def sinks(self) -> tuple[Any, ...]:
        return (self._hear, *self.trackers) if self.is_quiet else (self._hear, self.progress, *self.trackers)

    def _hear(self, event: dict[str, Any]) -> None:
        """Remembers of each step whether the store had its result."""
        if event["kind"] in ("step.found", "step.end"):
            self.found[event["step"]] = event["kind"] == "step.found"

    def say(self, text: str) -> None:
        self.progress.clear()
        if not self.is_quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def live(self, session: Session, *, test: bool) -> None:
        """Runs the life, then test once, the recipe's studies and the report; moves the recipe's name."""
        if session.store is not None and session.store.is_readonly:
            session.events.emit("warning", text="the store is read-only: what is computed now is not kept")
        self.say(terminal.life_head())
        chain = life.run(
            self.recipe, session, lambda line, result, chain: self._after(line, result, chain, session)
        )
        peers.leave()  # the rest is not shared
        self.value = chain.current.get("model") or chain.current.get("data")
        ground = chain.ground()
        can_test = isinstance(ground, Environment) or (ground is not None and ground.num_rows("test") > 0)
        if test and can_test and isinstance(self.value, Model | Program) and self.value.task:
            assert ground is not None
            self._open_test(self.value, ground, session)
        store = session.writable
        if self.value is not None and store is not None:
            store.names.move(self.recipe.name, self.value, verb="run")
        for line in self.recipe.studies:
            self._study(line, chain, session)
        has_report = find.source_of("lichen.report.page") is not None
        if has_report and store is not None and isinstance(self.value, Model | Program):
            self._report(session)
        if isinstance(self.value, Model | Program):
            self.pretraining = self._pretraining(session)

    def _after(self, line: Line, result: Any, chain: life.Chain, session: Session) -> None:
        ground, is_found = chain.ground(), self.found.get(line.step, False)
        for name, value in life.fields_of(result).items():
            label = f"{line.step}.{name}" if name else line.step
            with peers.aside():
                row = tally.row(label, value, ground, session).as_json()
            row["found"] = is_found
            session.events.emit("row", row=row)
            self.rows.append(row)
            self.say(terminal.life_row(row))

    def _open_test(self, value: Model | Program, ground: tally.Ground, session: Session) -> None:
        row = tally.row("test", value, ground, session, split="test").as_json()
        self.test = {**row, "times_opened": tally.times_opened(value, session)}
        session.events.emit("test", row=self.test)
        self.say(
            f"\ntest: {row['metric']} {row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}] "
            f"on {row['num_rows']} {row['unit']}; test opened {self.test['times_opened']} time(s) along this"
            " lineage"
        )

    def _study(self, line: Line, chain: life.Chain, session: Session) -> None:
        """A study of what the life ended with, or of the values that its line names."""
        read = signature.of("studies", line.step)
        line = settled(line, read)
        assert self.value is not None
        values = {read.values[0].name: self.value}
        values |= {name: life.referred(given, chain, session, position(line, name))
                   for name, given in line.values.items()}  # fmt: skip
        found = find.load(f"lichen.studies.{line.step}:{line.step}")(**values, **line.options)
        self.studies[line.step] = found.as_json()
        self.says_no |= getattr(found, "says_no", False)
        first = values[read.values[0].name]
        session.events.emit("study", study=line.step, digest=first.digest, found=found.as_json())
        self.say(f"\n{line.step}:\n{found}")

    def _report(self, session: Session) -> None:
        """Draws the report unless this very value already has one and nothing was computed."""
        assert self.value is not None and session.store is not None
        path = session.store.folder / "reports" / f"{self.value.id}.html"
        if session.counts["computed"] or not path.is_file():
            find.load("lichen.report.page:write")(self.value, path, session)
        self.report = str(path)

    def _pretraining(self, session: Session) -> list[str]:
        """What pretrained weights were worth, or how to find out, where the life began with some."""
        assert self.value is not None
        calls = self.value.made.call.history() if self.value.made else []
        if not lineage.is_pretrained(calls):
            return []
        found = find.load("lichen.report.findings:gather")(self.value, session)
        return [find.load("lichen.report.verdict:pretraining")(found)]

    def closing(self, session: Session) -> str:
        """Where things are, and what this run added."""
        assert session.store is not None
        counts = session.counts
        lines = [f"\n{counts['computed']} computed, {counts['found']} found in the store; "
                 f"{size_text(session.store.added_bytes)} added to {session.store.folder}"]  # fmt: skip
        if self.value is not None:
            name = self.recipe.name if session.writable else "none"
            lines.append(f"name:   {name} -> {self.value!r}")
        lines += self.pretraining
        if self.report:
            lines.append(f"report: {self.report}")
        return "\n".join(lines)

    def as_json(self, session: Session) -> dict[str, Any]:
        assert session.store is not None
        return {
            "run": session.run,
            "store": str(session.store.folder),
            "name": self.recipe.name,
            "digest": self.value.digest if self.value else None,
            "rows": self.rows,
            "test": self.test,
            "studies": self.studies,
            "report": self.report,
            "added_bytes": session.store.added_bytes,
            **session.counts,
        }
