"""starting: looks at data and writes a recipe that suits them, with the reasons beside its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from lichen.core import find, flow, recipefile
from lichen.core.errors import DataError
from lichen.data import pretrained
from lichen.data import survey as surveys
from lichen.data.survey import Survey

SMALL = 64
"""Sides up to this many pixels are learnt from nothing; larger pictures gain from pretrained weights."""
TINY, FEW_ROWS = 16, 5_000
"""Below these a plain convolutional net is as good as a residual one, and faster."""
ROWS_SEEN = 500_000
"""Rows that training passes over in all, which sets the epochs within these bounds."""
EPOCHS = (5, 40)
TEXT_EPOCHS = (3, 10)
FINETUNE_EPOCHS = (3, 15)
PRETRAINED = "tf_efficientnet_lite0"
"""A small net of photos whose weights an ordinary package carries."""
SCRATCH_SIDE = 64
RARE_ROWS = 20
WIDE = 60
LONG_BYTES, SHORT_BYTES = 10_000_000, 200_000
"""Of texts from here on there is more to learn than a small net holds, and less than it needs."""
PASSES, FEWEST_STEPS = 10, 20
"""Over texts, of which a step reads so many bytes:"""
STEP_BYTES = 12_000
Lines = list[tuple[str, str]]
"""Lines of YAML, each with its reason."""


def suggest(source: str, *, label: str | None = None) -> tuple[str, dict[str, Any]]:
    """A commented recipe for a source, and what was seen in it.

    Args:
        label: the column of labels; None: found.

    Raises:
        NotFoundError: there is no such source.
        DataError: it cannot be read, or holds fewer than two classes.
    """
    seen, taken = _seen(source, label)
    if seen.refused:
        raise DataError(seen.refused, where=seen.path, hint=f"lichen data {source}")
    is_told = bool(seen.lengths) and not seen.labels
    if len(seen.labels) < 2 and not is_told:
        raise DataError(
            f"there must be two classes at least; the data have {', '.join(seen.labels) or 'none'}",
            where=seen.path,
            hint="one folder per class, or name the column with label=",
        )
    if is_told:
        task, steps = "language_modelling", _documents(seen)
    elif seen.cells:
        task, steps = "tabular_classification", _cells(seen)
    elif seen.lengths:
        task, steps = "text_classification", _texts(seen)
    else:
        task, steps = "image_classification", _small(seen) if _side(seen) <= SMALL else _photos(seen)
        steps += _compress()
    notes = list(_notes(seen, taken))
    text = _written(seen, _source(seen, label or taken), steps, notes)
    flow.check(recipefile.parse(text, "suggestion"))
    return text, {**surveys.as_json(seen), "task": _task(seen) or task, "notes": notes}


def _seen(source: str, label: str | None) -> tuple[Survey, str | None]:
    """What a source holds, and the column taken for the labels where nobody named it."""
    seen, _ = surveys.survey(source, label=label)
    if label is not None or len(seen.repeats) != 1:
        return seen, None
    (only,) = seen.repeats
    with suppress(DataError):
        labelled, _ = surveys.survey(source, label=only)
        if not labelled.refused:
            return labelled, only
    return seen, None


def _source(seen: Survey, label: str | None) -> str:
    """The data as a recipe names them, in a line."""
    told: dict[str, Any] = {"source": seen.source}
    if label is not None:
        told["label"] = label
    if seen.cells:
        told["features"] = ["*", *(f"-{one.name}" for one in seen.cells if one.tells_rows_apart)]
    plain = seen.source if len(told) == 1 else told
    return str(yaml.safe_dump(plain, width=10_000, default_flow_style=True, sort_keys=False)).splitlines()[0]


def _cells(seen: Survey) -> Lines:
    told = f"net: mlp, task: tabular_classification, epochs: {_epochs(seen, EPOCHS)}, optimizer: adamw"
    return [
        (f"- pretrain.train: {{{told}}}", "numbers in deviations, words as marks; the model keeps how"),
        ("- deploy.export: {}", "a graph from numbers to classes, asked about every row of validation"),
    ]


def _texts(seen: Survey) -> Lines:
    epochs = _epochs(seen, TEXT_EPOCHS)
    told = f"tokenizer: $tokenizer, net: bag, task: text_classification, epochs: {epochs}"
    return [
        ("- prepare.bpe: {size: 8192}", "byte pairs: loses nothing on any text"),
        ("  as: tokenizer", "the model keeps it"),
        (
            f"- pretrain.train: {{{told}, optimizer: adamw, rate: 0.003}}",
            "the mean of tokens and pairs: the first to be beaten",
        ),
    ]


def _documents(seen: Survey) -> Lines:
    num_bytes = seen.lengths[len(seen.lengths) // 2] * seen.splits["train"]
    size, depth, most = (1024, 4, 500) if num_bytes < LONG_BYTES else (8192, 6, 4000)
    depth = 2 if num_bytes < SHORT_BYTES else depth
    steps = max(FEWEST_STEPS, min(most, PASSES * num_bytes // STEP_BYTES))
    told = f"tokenizer: $tokenizer, net_options: {{depth: {depth}}}, max_tokens: 128, steps: {steps}"
    return [
        (f"- prepare.bpe: {{size: {size}}}", "byte pairs: loses nothing on any text"),
        ("  as: tokenizer", "the model keeps it"),
        (f"- pretrain.language: {{{told}}}", "no labels: what can be learnt is to go on from a text"),
    ]


def _side(seen: Survey) -> int:
    """The longer side of the middle picture."""
    return max(seen.sizes[len(seen.sizes) // 2])


def _has(*addresses: str) -> bool:
    return set(addresses) <= find.shelf("steps").keys()


def _task(seen: Survey) -> str | None:
    """The task where it is not the usual one."""
    return "multi_label_classification" if seen.are_several else None


def _told(seen: Survey) -> str:
    """The task as an option of a line."""
    return f", task: {_task(seen)}" if _task(seen) else ""


def _epochs(seen: Survey, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], round(ROWS_SEEN / max(1, seen.splits["train"]))))


def _small(seen: Survey) -> Lines:
    is_plain = _side(seen) < TINY or seen.splits["train"] < FEW_ROWS
    net = "cnn" if is_plain else "resnet20"
    size = "" if len(seen.sizes) == 1 else f", image_size: {_rounded(_side(seen))}"
    why = "a plain net is enough for so little" if is_plain else "residual, made for small pictures"
    epochs = _epochs(seen, EPOCHS)
    return [_augment(seen), (f"- pretrain.train: {{net: {net}, epochs: {epochs}{size}{_told(seen)}}}", why)]


def _photos(seen: Survey) -> Lines:
    if _has("pretrain.load", "adapt.finetune") and pretrained.is_here(PRETRAINED):
        load = f"- pretrain.load: {{net: timm/{PRETRAINED}, weights: timm:{PRETRAINED}{_told(seen)}}}"
        epochs = _epochs(seen, FINETUNE_EPOCHS)
        return [
            _augment(seen),
            (load, "photos gain most from weights that have seen millions"),
            (f"- adapt.finetune: {{epochs: {epochs}}}", "the head is new; the rest is adapted"),
        ]
    told = f"epochs: {_epochs(seen, EPOCHS)}, image_size: {SCRATCH_SIDE}{_told(seen)}"
    line = f"- pretrain.train: {{net: resnet18, {told}}}"
    return [
        _augment(seen),
        (line, "from nothing: no pretrained weights are here; larger is slower and better"),
    ]


def _rounded(side: int) -> int:
    return max(8, side // 8 * 8)


def _augment(seen: Survey) -> tuple[str, str]:
    if seen.channels == 1:
        return (
            "- augment.policy: {ops: [shift, rotate, zoom]}",
            "grey: add flip where a mirror image means the same",
        )
    return "- augment.policy: {ops: [flip, crop]}", "leave flip out where left and right differ, as in text"


def _compress() -> Lines:
    lines = []
    if _has("compress.prune"):
        lines.append(
            (
                "# - compress.prune: {speedup: 2.0}",
                "half the work, where speed matters more than the last digit",
            )
        )
    if _has("compress.quantize"):
        lines.append(("- compress.quantize: {}", "int8, kept only if the answers stay as good"))
    return lines


def _notes(seen: Survey, taken: str | None) -> Iterator[str]:
    """What the user should know before training."""
    if taken:
        yield f"`{taken}` is the one column that repeats itself, so it is taken for the label"
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
        what = f"texts of {seen.lengths[0]} to {seen.lengths[-1]} bytes"
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


def _beside(steps: Lines) -> list[str]:
    """The reason of each line beside it, or above it where that would be too wide to read."""
    width = max(len(line) for line, _ in steps)
    if width > WIDE:
        return [text for line, why in steps for text in (f"  # {why}", f"  {line}")]
    return [f"  {line.ljust(width)}  # {why}" for line, why in steps]
