"""values: `evaluate`, `predict` and `export`: what a value is worth, what it answers, and how it leaves."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lichen.cli.main import Answer, Verb, argument
from lichen.cli.records import here
from lichen.cli.terminal import Progress, table
from lichen.core.dataset import Dataset
from lichen.core.environment import Environment
from lichen.core.errors import DataError, LichenError, NotFoundError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.scoring import last_ground

if TYPE_CHECKING:
    from lichen.core.session import Session
    from lichen.core.value import Value

SUFFIX = ".lichen"
LONGEST = 60
"""Characters of an input that a table of answers shows."""


def subject(text: str, verb: str) -> Model | Program:
    """What answers: a Model or Program of the store, or of a value file.

    Raises:
        UsageError: it is another kind of value, or one without a task.
    """
    value = _value(text)
    if not isinstance(value, Model | Program):
        raise UsageError(f"`{verb}` takes a Model or a Program; `{text}` is a {type(value).__name__}")
    if value.task is None:
        raise UsageError(f"`{text}` has no task, so it answers nothing", hint="give its training step a task")
    return value


def _value(text: str) -> Value:
    path = Path(text)
    if path.suffix == SUFFIX or "/" in text:
        from lichen.core import valuefile

        if path.is_dir():
            raise UsageError(f"a value is a name, a digest or a {SUFFIX} file; `{text}` is a folder")
        return valuefile.read(path)
    return here().resolve(text)


def ground_for(value: Value, text: str | None, session: Session) -> Dataset | Environment:
    """What a value is judged on: what is named, else the last environment or data in its lineage.

    Args:
        text: an Environment of the store, or data as `data_for` takes them.
    """
    if text is None:
        found = last_ground(value.made.call, session.store) if value.made else None
        return found if isinstance(found, Environment) else _last_data(value, session)
    if session.store is not None:
        with suppress(NotFoundError):
            found = session.store.resolve(text)
            if isinstance(found, Environment):
                return found
    return data_for(value, text, session)


def data_for(value: Value, text: str | None, session: Session) -> Dataset:
    """The data that a value is judged on: those named, else the last ones in its lineage.

    Args:
        text: a Dataset of the store, or a source as `prepare.load` takes it.

    Raises:
        UsageError: no data stand in the lineage.
        DataError: those that do can no longer be had as they were.
    """
    if text is None:
        return _last_data(value, session)
    if session.store is not None:
        try:
            found = session.store.resolve(text)
        except NotFoundError:
            found = None
        if isinstance(found, Dataset):
            return found
    from lichen.core import calling, step

    loaded = calling.execute(step.by_address("prepare.load"), {}, {"source": text}, session)
    assert isinstance(loaded, Dataset)
    return loaded


def _last_data(value: Value, session: Session) -> Dataset:
    history = value.made.call.history() if value.made else []
    refs = [ref for call in history for ref in call.inputs.values() if ref.kind == "dataset"]
    if not refs:
        raise UsageError("the value does not say which data it is for", hint="name them after it")
    ref = refs[-1]
    try:
        found = session.store.value(ref.digest, ref.made) if session.store else None
    except NotFoundError:
        found = None
    if found is None and ref.made is not None:
        from lichen.core.replay import replay

        found = replay(ref.made, session)
    if not isinstance(found, Dataset) or found.digest != ref.digest:
        raise DataError(
            "the data that the value was made with are not here as they were", hint="name other data"
        )
    return found


def evaluate(given: Namespace) -> Answer:
    """Scores a value on a split, with intervals; says how often its lineage opened test."""
    from lichen.core import session, tally

    value = subject(given.value, "evaluate")
    with session.opened(about={"verb": "evaluate", "value": given.value}) as opened:
        data = ground_for(value, given.data, opened)
        computed = opened.counts["computed"]
        scores = tally.evaluate(value, data, given.split, opened)
        is_found = opened.counts["computed"] == computed
        times = tally.times_opened(value, opened) if opened.store else None
    said = {
        "value": value.digest,
        "data": data.digest,
        "split": scores.split,
        "num_rows": scores.num_rows,
        "headline": scores.headline,
        "metrics": scores.metrics,
        "times_opened": times,
        "found": is_found,
    }
    rows = [(name, f"{entry['value']:.4f}", f"[{entry['low']:.4f}, {entry['high']:.4f}]")
            for name, entry in scores.metrics.items()]  # fmt: skip
    rows_of = "rows of data" if isinstance(data, Dataset) else "episodes of environment"
    first = f"{value.kind} {value.id} on {scores.num_rows} {scores.split} {rows_of} {data.id}"
    last = "there is no store here, so openings of test are not counted" if times is None else (
        f"test opened {times} time(s) along this lineage")  # fmt: skip
    return Answer(
        f"{first}\n\n{table([('metric', 'value', '95 % interval'), *rows], right=(1, 2))}\n\n{last}", said
    )


def predict(given: Namespace) -> Answer:
    """Answers about inputs; one that cannot be read is named, and the others are answered."""
    from lichen.core import session
    from lichen.core.events import Events
    from lichen.core.session import Session
    from lichen.engine import answer
    from lichen.engine.inputs import feeds

    value = subject(given.value, "predict")
    feed = feeds.of(value.assets)
    inputs = [
        item
        for word in given.inputs
        for item in feed.typed(word, sys.stdin.buffer.read() if word == "-" else None)
    ]
    rows, failed = [], []
    with session.using(Session(events=Events(sinks=(Progress(),)))):
        for item, reply in answer.each(value, inputs):
            name = "-" if isinstance(item, bytes) else _shown(item)
            if isinstance(reply, LichenError):
                reply.where = name
                failed.append(reply)
                rows.append({"input": name, "error": reply.message})
            else:
                rows.append({"input": name, **reply})
    if len(rows) == len(failed) == 1:
        raise failed[0]
    for error in failed:
        sys.stderr.write(f"error: {error}\n")
    return Answer(_answers(rows), rows, failed[0].exit_code if failed else 0)


def _answers(rows: list[dict[str, Any]]) -> str:
    if any("picture" in row for row in rows):
        said = [(row["input"], "a PNG file, printed by --json" if "picture" in row else "-") for row in rows]
        return table([("input", "picture"), *said])
    if not any("label" in row or "action" in row for row in rows):
        return _plain(rows)
    shown = [(_short(row["input"]), row.get("label", str(row.get("action", "-"))),
              f"{row['confidence']:.4f}" if "confidence" in row else "-") for row in rows]  # fmt: skip
    return table([("input", "label", "confidence"), *shown], right=(2,))


def _plain(rows: list[dict[str, Any]]) -> str:
    """Answers in figures instead of labels, under their names."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("input", "error")))
    shown = [(_short(row["input"]), *(_shown(row.get(name, "-")) for name in names)) for row in rows]
    are_texts = {name for name in names if any(isinstance(row.get(name), str | dict) for row in rows)}
    right = [place for place, name in enumerate(names, 1) if name not in are_texts]
    return table([("input", *names), *shown], right=tuple(right))


def _short(name: str) -> str:
    """An input as a table shows it: of a row of cells the beginning."""
    return name if len(name) <= LONGEST or name[0] != "{" else f"{name[: LONGEST - 3]}..."


def _shown(figure: Any) -> str:
    if isinstance(figure, dict):  # a row of a table, as `predict` takes one
        return json.dumps(figure, ensure_ascii=False)
    return f"{figure:.4f}" if isinstance(figure, float) else str(figure)


def export(given: Namespace) -> Answer:
    """Writes a value for others to run, and asks what was written whether it answers as the value does."""
    from lichen.cli import shipping
    from lichen.core import session

    value = subject(given.value, "export")
    folder = Path(given.out)
    shipping.require_free(folder, is_forced=given.force)
    with session.opened(about={"verb": "export", "value": given.value}) as opened:
        parcel = shipping.pack(
            value,
            folder,
            format=given.format,
            data=_data_or_none(value, given.data, opened),
            session=opened,
            name=given.value,
        )
    lines = [f"{path}  {size}" for path, size in parcel.sizes()]
    return Answer("\n".join([*lines, f"checked: {parcel.checked}"]), parcel.as_json())


def _data_or_none(value: Value, text: str | None, session: Session) -> Dataset | None:
    """The data of a value, or none where they are gone: only the check on real rows is lost."""
    if text is not None:
        return data_for(value, text, session)
    try:
        return _last_data(value, session)
    except LichenError:
        return None


VALUE = argument("value", help=f"a name, the start of a digest, or a {SUFFIX} file")
VERBS = {
    "evaluate": Verb("measure a value on a split, with intervals", evaluate, (
        VALUE,
        argument("data", nargs="?", help="a dataset of the store or a source; the value's own if not given"),
        argument("--split", default="validation", choices=["train", "validation", "test"],
                 help="test is counted along the lineage (default validation)"),
    )),
    "predict": Verb("ask a value about pictures, texts or rows of a table", predict, (
        VALUE,
        argument("inputs", nargs="+", metavar="INPUT",
                 help="pictures, folders of them, texts, rows in JSON; - for a picture, or lines, on stdin"),
    )),
    "export": Verb("write a value as files that run without lichen, checked", export, (
        VALUE,
        argument("--out", required=True, metavar="FOLDER", help="where to write"),
        argument("--format", choices=["onnx", "openvino", "executorch", "torch", "lichen", "safetensors",
                                      "llama", "peft", "gguf", "gguf-f16", "gguf-q8_0", "gguf-q4_0"],
                 help="of a Program its own if not given, of a Model onnx"),
        argument("--data", help="rows to check the answers on; the value's own if not given"),
        argument("--force", action="store_true", help="write into a folder that holds files"),
    )),
}  # fmt: skip
