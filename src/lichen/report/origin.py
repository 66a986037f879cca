"""origin: the data a life was lived on, the machine it was lived on, and the recipe to live it again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lichen.core import life, recipefile
from lichen.core.dataset import SPLITS, Dataset
from lichen.core.environment import Environment
from lichen.core.errors import LichenError
from lichen.data import manifest
from lichen.report import bars, figures
from lichen.report.findings import Findings
from lichen.report.markup import Markup, figure, grid, join, note, section, table, tag

HISTOGRAM_UP_TO = 40
"""Labels drawn; of more, the most frequent."""
KINDS = {"text": "Texts.", "bitext": "Pairs of texts.", "tabular": "Rows of a table."}
"""What rows are that are no pictures, by their name in a schema."""
TOLD = ("torch", "numpy", "onnx", "onnxruntime", "openvino", "nncf", "executorch", "timm", "transformers",
        "torchvision")  # fmt: skip
"""Packages named first."""


def recipe_of(found: Findings) -> str:
    """The life as YAML, or why it cannot be written."""
    try:
        return recipefile.dump(life.of(found.value, "life"))
    except LichenError as error:
        return f"# {error.message}"


def written(found: Findings) -> Markup:
    return section("recipe", "Recipe", tag("pre", None, recipe_of(found)))


def openings(found: Findings) -> Markup:
    """How often test was looked at, beside what it said."""
    opened = figures.times(found.times_opened)
    if found.test is None:
        return section(
            "openings", "Test", note(f"Not measured on test; it was opened {opened} along this lineage.")
        )
    test = found.test
    rows = [
        (
            tag("b", None, figures.name(test.headline)),
            figures.metric(test.value),
            figures.interval(*test.interval),
            figures.whole(test.num_rows),
            opened,
        )
    ]
    return section(
        "openings",
        "Test",
        table(("metric", "test", "95 % interval", "rows", "opened"), rows),
        note(
            "Every opening of test along a lineage is counted: the more often it is seen, the less it says."
        ),
    )


def environment(found: Findings) -> Markup:
    """Each machine that made a part of this life, and the packages its code ran with."""
    machines = Counter(json.dumps(dict(call.environment), sort_keys=True) for call in found.calls)
    rows = []
    for place, (text, count) in enumerate(machines.items()):
        facts = json.loads(text)
        label = "machine" if len(machines) == 1 else f"machine {place + 1}, {count} steps"
        rows.append((label, described(facts)))
    shown = [name for name in TOLD if name in found.packages]
    shown += sorted(set(found.packages) - set(shown))
    rows.append(("versions", ", ".join(f"{name} {found.packages[name]}" for name in shown) or figures.NONE))
    return section("environment", "Environment", table(("", ""), rows, left=(0, 1), kind="facts-table"))


def described(facts: Mapping[str, Any]) -> str:
    """One machine in a line."""
    if not facts:
        return "not recorded"
    flags, cores = ", ".join(facts.get("flags", [])), facts.get("cores", "?")
    return (
        f"{facts.get('cpu', 'unknown processor')}, {cores} core{'' if cores == 1 else 's'}, "
        f"{facts.get('system', '')} "
        f"{facts.get('machine', '')}, Python {facts.get('python', '?')}{f'; {flags}' if flags else ''}"
    )


def data(found: Findings) -> Markup:
    """Rows per split, labels of train and validation, and what loading said about duplicates."""
    if found.environment is not None:
        return section("data", "Environment of the agent", *_acted_in(found.environment))
    if found.data is None:
        return section("data", "Data", note("The life's dataset is no longer in the store."))
    rows = [
        (
            name,
            figures.whole(found.data.num_rows(name)),
            tag("span", {"class": "mono"}, figures.short(found.data.splits[name]["digest"])),
        )
        for name in SPLITS
        if name in found.data.splits
    ]
    facts = join(
        [
            table(("split", "rows", "digest"), rows, left=(0, 2)),
            note(f"{_shape(found.data)} {duplicates(found)}".strip()),
        ]
    )
    return section("data", "Data", grid(tag("div", None, facts), _histogram(found.data)))


def _acted_in(environment: Environment) -> list[Markup]:
    rows = [*environment.facts().items(), *((f"option {name}", figures.plain(given))
                                            for name, given in environment.options.items())]  # fmt: skip
    rows += [(f"wrapper {one['name']}", figures.plain(one["options"])) for one in environment.wrappers]
    seeds = note("Training, validation and test play on seeds of their own; a row of scores is an episode.")
    return [table(("", ""), rows, left=(0, 1), kind="facts-table"), seeds]


def _shape(read: Dataset) -> str:
    image = read.schema.get("image") or {}
    if not image:
        return next((said for kind, said in KINDS.items() if kind in read.schema), "")
    sides = f"{image['height']} × {image['width']}" if image.get("height") else "of several sizes"
    colours = "grey" if image["channels"] == 1 else f"{image['channels']} channels"
    return f"Pictures: {colours}, {sides}."


NEAR = "near duplicate|occurs? inside"


def duplicates(found: Findings) -> str:
    """What was done with rows that stand in two splits, and which nearly do."""
    told = [text for call in found.calls for _, text in found.notes[call.id]]
    near = [
        f"{text[:1].upper()}{text[1:]}." for text in told if "near duplicate" in text or "(kept), " in text
    ]
    return " ".join([_exact(found, [text for text in told if "stand in" in text]), *near])


def _exact(found: Findings, told: list[str]) -> str:
    if told:
        return " ".join(f"{text.capitalize()}." for text in told)
    how = next((call.options["duplicates"] for call in found.calls if "duplicates" in call.options), None)
    if how == "keep":
        return "Rows that stand in two splits were kept (duplicates=keep)."
    return "No row stands in two splits." if how else "Duplicates were not looked for."


def _histogram(read: Dataset) -> Markup:
    """Rows per label of train and validation; test stays closed."""
    counted = {name: _counts(read, name) for name in ("train", "validation") if read.num_rows(name)}
    if not read.labels or not counted or any(counts is None for counts in counted.values()):
        return Markup("")
    order = list(range(len(read.labels)))
    if len(order) > HISTOGRAM_UP_TO:
        first = next(iter(counted.values()))
        order = sorted(order, key=lambda place: (-first[place], place))[:HISTOGRAM_UP_TO]  # type: ignore[index]
    groups = [(name, [int(counts[place]) for place in order]) for name, counts in counted.items()]  # type: ignore[index]
    names = [read.labels[place] for place in order]
    more = f", the {len(order)} most frequent of {len(read.labels)}" if len(order) < len(read.labels) else ""
    return figure(
        f"Rows per label{more}",
        bars.columns(f"rows of {len(names)} labels in {' and '.join(counted)}", names, groups),
    )


def _counts(read: Dataset, split: str) -> np.ndarray | None:
    try:
        _, targets_N = manifest.located(read, split)
    except LichenError:
        return None
    return (
        np.bincount(targets_N, minlength=len(read.labels))
        if targets_N.dtype.kind == "i" and len(targets_N) and targets_N.min() >= 0
        else None
    )
