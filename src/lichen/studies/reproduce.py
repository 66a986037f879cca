"""reproduce: replays a life in a fresh process and compares digests, step by step."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lichen.core import calling, step
from lichen.core.errors import LichenError, NotFoundError, StepError, UsageError
from lichen.core.lineage import Call, Made, from_records, records_of
from lichen.core.replay import replay
from lichen.core.scoring import last_ground
from lichen.core.session import Session, current
from lichen.core.store import Store
from lichen.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One step of the replay: the digests it gave then and now."""

    step: str
    was: dict[str, str]
    now: dict[str, str]
    seconds: float

    @property
    def is_identical(self) -> bool:
        return self.was == self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What a replay found. `is_identical` is bit by bit; `is_close` compares the headline metric instead."""

    steps: tuple[Replayed, ...]
    is_same_environment: bool
    metric: dict[str, float] | None = None
    tolerance: float = 0.0

    @property
    def is_identical(self) -> bool:
        return all(one.is_identical for one in self.steps)

    @property
    def is_close(self) -> bool:
        return self.metric is not None and abs(self.metric["was"] - self.metric["now"]) <= self.tolerance

    @property
    def is_reproduced(self) -> bool:
        """Bit by bit where the environment is equal; elsewhere within the tolerance."""
        return self.is_identical or (not self.is_same_environment and self.is_close)

    @property
    def says_no(self) -> bool:
        return not self.is_reproduced

    @property
    def first_difference(self) -> str | None:
        return next((one.step for one in self.steps if not one.is_identical), None)

    def as_json(self) -> dict[str, Any]:
        return {"is_reproduced": self.is_reproduced, "is_identical": self.is_identical,
                "first_difference": self.first_difference, "is_same_environment": self.is_same_environment,
                "metric": self.metric, "tolerance": self.tolerance,
                "steps": [asdict(one) for one in self.steps]}  # fmt: skip

    def __str__(self) -> str:
        lines = [
            f"{'=' if one.is_identical else '!'} {one.step:24s} {' '.join(d[:10] for d in one.now.values())}"
            f"  {one.seconds:.2f} s"
            for one in self.steps
        ]
        if self.is_identical:
            lines.append(f"reproduced bit by bit in a fresh process: {len(self.steps)} steps")
        elif self.metric:
            verdict = "within" if self.is_close else "beyond"
            lines.append(
                f"first difference at {self.first_difference}; {self.metric['name']} "
                f"{self.metric['was']:.4f} -> "
                f"{self.metric['now']:.4f}, {verdict} the tolerance {self.tolerance}"
            )
        else:
            lines.append(f"first difference at {self.first_difference}")
        return "\n".join(lines)


def reproduce(value: Value, *, tolerance: float = 0.01) -> Reproduction:
    """Replays the calls behind a value in a fresh process and an empty store, decisions as they were.

    Args:
        tolerance: for the headline metric on validation, used where the environment is not the recorded one
            and bits therefore may differ.

    Raises:
        UsageError: the value has no lineage, or a step of it lives in a script that cannot be imported.
        StepError: the replay itself failed.
    """
    if value.made is None:
        raise UsageError(f"{value!r} was not made by recorded steps, so there is nothing to replay")
    _check_importable(value.made.call)
    store = current().store
    with tempfile.TemporaryDirectory(prefix="lichen-reproduce-") as folder:
        request = {"calls": records_of(value.made.call), "field": value.made.field, "path": sys.path,
                   "store": str(store.folder) if store else None, "digest": value.digest}  # fmt: skip
        (Path(folder) / "request.json").write_text(json.dumps(request))
        environment = {**os.environ, "LICHEN_STORE": str(Path(folder) / ".lichen")}
        done = subprocess.run([sys.executable, "-m", "lichen.studies.reproduce", folder], env=environment,
                              capture_output=True, text=True, check=False)  # fmt: skip
        answer_path = Path(folder) / "answer.json"
        if not answer_path.is_file():
            raise StepError(f"the replay failed: {done.stderr.strip()[-2000:]}")
        answer = json.loads(answer_path.read_text())
    if answer.get("error"):
        raise StepError(f"the replay failed: {answer['error']}")
    return Reproduction(steps=tuple(Replayed(**one) for one in answer["steps"]), metric=answer["metric"],
                        is_same_environment=answer["is_same_environment"], tolerance=tolerance)  # fmt: skip


def _check_importable(call: Call) -> None:
    for one in call.history():
        if one.step.startswith("__main__:"):
            raise UsageError(
                f"step `{one.step}` lives in a script or notebook, which another process cannot import",
                hint="move it to a module, for example into `units/`",
            )
        for name, given in one.options.items():
            if isinstance(given, str) and re.search(r"<locals>|<lambda>|\(\)$", given):
                raise UsageError(
                    f"`{given}`, the option `{name}` of `{one.step}`, cannot be found by another process",
                    hint="give a function of a module, as name=module.function or 'module:function'",
                )


def _replay_here(folder: Path) -> dict[str, Any]:
    """The fresh process's part: replays into an empty store."""
    request = json.loads((folder / "request.json").read_text())
    sys.path[:] = request["path"]
    call = from_records(request["calls"])
    original = Store(request["store"]) if request["store"] else None
    session = Session(store=Store(folder / ".lichen"))
    seen: list[dict[str, Any]] = []
    environments: list[bool] = []
    """Whether each call ran where it had run: on a device, or in so many processes, only some do."""

    def outside(digest: str) -> Value:
        if original is None:
            raise NotFoundError(
                f"value {digest[:10]} came from outside the record, and there is no store to find it in"
            )
        return original.value(digest)

    def note(was: Call, outputs: dict[str, Value]) -> bool:
        now = {name: value.digest for name, value in outputs.items()}
        made = next(iter(outputs.values())).made
        environments.append(made is not None and dict(made.call.environment) == dict(was.environment))
        seen.append({"step": was.step, "was": dict(was.outputs), "now": now,
                     "seconds": made.call.seconds if made else 0.0})  # fmt: skip
        return True

    target = Made(call, request["field"])
    value = replay(target, session, outside=outside, after=note)
    metric = None
    if value.digest != request["digest"] and original is not None:
        metric = _metric(original.value(request["digest"]), value, session)
    return {"steps": seen, "metric": metric, "is_same_environment": all(environments)}


def _metric(was: Value, now: Value, session: Session) -> dict[str, Any] | None:
    """The headline of both on the validation split of what the replayed value was made with."""
    if now.kind not in ("model", "program") or now.made is None:
        return None
    data = last_ground(now.made.call, session.store)
    if data is None:
        return None
    evaluate = step.by_address("assess.evaluate")
    scores = [
        calling.execute(evaluate, calling.bind(evaluate.signature, (value, data), {}), {}, session)
        for value in (was, now)
    ]
    return {"name": scores[0].headline, "was": scores[0].value, "now": scores[1].value}


def _main(folder: Path) -> None:
    try:
        answer = _replay_here(folder)
    except LichenError as error:
        answer = {"error": str(error)}
    part = folder / "answer.part"
    part.write_text(json.dumps(answer))
    os.replace(part, folder / "answer.json")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
