"""starting: looks at data and writes a recipe that suits them, with the reasons beside its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from lichen.cli.proposals import Lines, proposed
from lichen.core import flow, recipefile
from lichen.core.errors import DataError
from lichen.data import survey as surveys
from lichen.data.survey import Survey

RARE_ROWS = 20
WIDE = 60


def suggest(
    source: str, *, label: str | None = None, text: str | None = None, target: str | None = None
) -> tuple[str, dict[str, Any]]:
    """A commented recipe for a source, and what was seen in it.

    Args:
        label: the column of labels; None: found; empty: there is none.
        text: the column of texts; None: found.
        target: the column of what each text is in another language.

    Raises:
        NotFoundError: there is no such source.
        DataError: it cannot be read, or holds fewer than two classes.
    """
    told = {"text": text, "target": target, "label": label}
    columns = {role: name for role, name in told.items() if name is not None}
    seen, taken = _seen(source, columns)
    if seen.refused:
        raise DataError(seen.refused, where=seen.path, hint=f"lichen data {source}")
    is_told = bool(seen.lengths) and not seen.labels
    if len(seen.labels) < 2 and not is_told:
        raise DataError(
            f"there must be two classes at least; the data have {', '.join(seen.labels) or 'none'}",
            where=seen.path,
            hint="one folder per class, or name the column with label=",
        )
    task, steps = proposed(seen)
    notes = list(_notes(seen, taken))
    recipe = _written(seen, _source(seen, {**columns, **({"label": taken} if taken else {})}), steps, notes)
    flow.check(recipefile.parse(recipe, "suggestion"))
    return recipe, {**surveys.as_json(seen), "task": task, "notes": notes}


def _seen(source: str, columns: Mapping[str, str]) -> tuple[Survey, str | None]:
    """What a source holds, and the column taken for the labels where nobody named it."""
    try:
        seen, _ = surveys.survey(source, **columns)
    except DataError as error:
        if columns or "label=" not in (error.hint or ""):
            raise
        also = "; of texts: --text NAME; of translations: --text NAME --target NAME"
        raise DataError(error.message, where=error.where, hint=f"{error.hint}{also}") from None
    if "label" in columns or len(seen.repeats) != 1:
        return seen, None
    (only,) = seen.repeats
    with suppress(DataError):
        labelled, _ = surveys.survey(source, **columns, label=only)
        if not labelled.refused:
            return labelled, only
    return seen, None


def _source(seen: Survey, columns: Mapping[str, str]) -> str:
    """The data as a recipe names them, in a line."""
    told: dict[str, Any] = {"source": seen.source, **columns}
    if seen.cells:
        told["features"] = ["*", *(f"-{one.name}" for one in seen.cells if one.tells_rows_apart)]
    plain = seen.source if len(told) == 1 else told
    return str(yaml.safe_dump(plain, width=10_000, default_flow_style=True, sort_keys=False)).splitlines()[0]


def _notes(seen: Survey, taken: str | None) -> Iterator[str]:
    """What the user should know before training."""
    if taken:
        yield f"`{taken}` alone repeats itself, so it is taken for the label; --label '' takes none"
    rare = {
        label: count for label, entry in seen.labels.items() if (count := entry.get("train", 0)) < RARE_ROWS
    }
    if rare:
        shown = ", ".join(f"{label} {count}" for label, count in list(rare.items())[:5])
        yield f"{len(rare)} classes have fewer than {RARE_ROWS} train rows: {shown}"
    for name, count in seen.twice.items():
        if count:
            yield f"{count} {name} rows also stand in a split that judges them; they are dropped"
    for one in seen.cells:
        if one.tells_rows_apart:
            yield f"column `{one.name}` tells every row apart, so it is left out"
    if seen.repeats:
        shown = ", ".join(f"`{name}` ({count} values)" for name, count in seen.repeats.items())
        yield f"--label NAME learns a column that repeats itself: {shown}"
    if seen.disagreeing:
        yield f"{seen.disagreeing} rows have two different labels"


def _written(seen: Survey, source: str, steps: Lines, notes: list[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(seen.source.removeprefix("hf:")).stem).strip("-") or "life"
    colour = "grey" if seen.channels == 1 else "colour"
    sizes = [f"{height}x{width}" for height, width in seen.sizes]
    counts = ", ".join(f"{count} {split}" for split, count in seen.splits.items())
    if seen.cells:
        what = f"a table of {len(seen.cells)} columns beside the label"
    elif seen.lengths:
        what = f"{_kind(seen)} of {seen.lengths[0]} to {seen.lengths[-1]} bytes"
    else:
        what = f"{colour} pictures of {sizes[0] if len(sizes) == 1 else f'{sizes[0]} to {sizes[-1]}'}"
    lines = [
        f"# Seen by the reader `{seen.reader}`: {what}, {len(seen.labels) or 'no'} classes.",
        f"# Rows: {counts}.",
        *(f"# Mind: {note}." for note in notes),
        "lichen: 1",
        f"name: {name}",
        f"data: {source}",
        "steps:",
        *_beside(steps),
    ]
    return "\n".join(lines) + "\n"


def _kind(seen: Survey) -> str:
    """What texts are."""
    if "target" in seen.columns:
        return "pairs of texts"
    if "chosen" in seen.columns:
        return "conversations with two answers"
    return "conversations" if {"messages", "answer"} & seen.columns.keys() else "texts"


def _beside(steps: Lines) -> list[str]:
    """The reason of each line beside it, or above it where that would be too wide to read."""
    width = max(len(line) for line, _ in steps)
    if width > WIDE:
        return [text for line, why in steps for text in (f"  # {why}", f"  {line}")]
    return [f"  {line.ljust(width)}  # {why}" for line, why in steps]
