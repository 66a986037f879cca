"""prompt: a language model tells what kind of text one is by which label's words it would go on with.

Nothing is trained. Without demonstrations this is zero-shot, with some few-shot classification.
Papers: Brown et al. 2020 (demonstrations); Zhao et al. 2021 (contextual calibration); Liu et al. 2021 (the
demonstrations nearest to the row).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

from lichen.core import signature
from lichen.core.dataset import Dataset
from lichen.core.errors import OptionError, UsageError, nearest
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Natural, Seed
from lichen.core.step import step
from lichen.engine.inputs import feeds
from lichen.engine.language import prompting
from lichen.engine.language.prompting import Asked, Way
from lichen.engine.task import task_of
from lichen.engine.training import supervised
from lichen.engine.training.merging import TEMPLATE

TASK = "text_classification"
CHOOSES = "validation"
"""The split that a search may look at."""
SEARCHED = ("template", "instruction", "shots", "choice", "similarity", "order", "calibration", "scoring")


@step(splits=("train", "validation"), without={"shots": 0, "search": None})
def prompt(
    model: Model,
    data: Dataset,
    *,
    template: str = "text",
    instruction: str | None = None,
    words: dict | None = None,
    shots: Natural = 0,
    choice: Literal["balanced", "random", "nearest"] = "balanced",
    similarity: Literal["tfidf", "embedding"] = "tfidf",
    pool: Count = 1000,
    order: Natural = 0,
    calibration: Literal["contextual", "none"] = "contextual",
    scoring: Literal["sum", "mean"] = "sum",
    max_tokens: Count = 128,
    search: dict | None = None,
    judged: Count = 256,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Makes a classifier of texts out of a language model, which stays as it is.

    Args:
        template: text, review, article, was, question, task, or one of your own with {text} and {label}, such
            as "{text} In short, it was {label}."; {labels} lists all of them.
        instruction: stands before all else; None: the named template's own.
        words: by label what it is called in the template; None: the labels themselves.
        shots: train rows that are shown with their labels; 0: none.
        choice: of these: balanced over the classes, random, or those nearest to each row.
        similarity: by which they are near: tfidf of tokens, or the embedding of the model itself.
        pool: train rows that the nearest are chosen from.
        order: the number of one order of the same demonstrations.
        calibration: contextual takes off what labels get where the text has no content.
        scoring: of a label: the sum of its tokens' log-probabilities, or their mean, for labels of unequal
            length.
        max_tokens: read of a text; longer ones are cut at their end.
        search: options by name with the values to try, such as {"shots": [0, 4, 8], "template": ["text",
            "review"]}; every combination is tried on validation, and the best taken, a recorded decision.
        judged: validation rows that a search asks about.

    Raises:
        UsageError: the model tells no texts, or the prompt leaves no room for one.
        OptionError: a template without places, words of no label, or a search over what cannot be searched.
    """
    if not feeds.are_packed(model.assets):
        raise UsageError(f"a language model is prompted; this one is for {model.task or 'no task'}",
                         hint="pretrain.adopt or pretrain.language makes one")  # fmt: skip
    if len(data.labels) < 2:
        raise UsageError("data must have two labels at least to be told apart", where=data.root)
    base = model.with_weights(model.weights()) if model.is_adapted else model
    way = Way(
        template=template, instruction=instruction, words=words, shots=shots, choice=choice,
        similarity=similarity, pool=pool, order=order, calibration=calibration, scoring=scoring,
        max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    asked = Asked.of(base, data, run.device)
    if search:
        way = way.changed(run.decide("prompt", lambda: _best(asked, way, _options(search), judged, run)))
    made = asked.net(way)
    _tell(asked, made, data, run)
    return base.adapted(
        made.weights, adapter={"method": TEMPLATE}, net="prompted", options=made.options, task=TASK,
        assets=made.assets,
    )  # fmt: skip


def _options(search: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the values to try, each checked as the step's own option."""
    known = signature.of("steps", "adapt.prompt").options
    for name, values in search.items():
        if name not in SEARCHED:
            raise OptionError(f"`search` takes no `{name}`", hint=nearest(name, SEARCHED))
        if not isinstance(values, list) or not values:
            raise OptionError(f"`search` needs a list of values for `{name}`, not {values!r}")
    checked = [[known[name].check(value) for value in values] for name, values in search.items()]
    return [dict(zip(search, values, strict=True)) for values in itertools.product(*checked)]


def _best(asked: Asked, way: Way, tried: list[dict[str, Any]], judged: int, run: Run) -> dict[str, Any]:
    """The options that answer best on some rows of validation; of equal ones those tried first."""
    task, found = task_of(TASK), []
    for number, options in enumerate(tried):
        made = asked.net(way.changed(options))
        rows = feeds.rows_of(asked.data, CHOOSES, made.assets)
        chosen = supervised.judged_rows(rows, judged)
        outputs_NK = supervised.outputs_of(made.net, rows.batch(chosen), task, made.assets, device=run.device)
        metrics, _ = task.score(outputs_NK, rows.targets[chosen])
        figure = metrics[task.headline]
        said = ", ".join(f"{name} {value}" for name, value in options.items())
        run.emit("progress", done=number + 1, total=len(tried))
        run.emit("note", text=f"{said}: {task.headline} {figure['value']:.4f} [{figure['low']:.4f},"
                 f" {figure['high']:.4f}] on {len(chosen)} rows of {CHOOSES}")  # fmt: skip
        found.append((-figure["value"], metrics["log_loss"]["value"], number))
    return tried[min(found)[2]]


def _tell(asked: Asked, made: prompting.Made, data: Dataset, run: Run) -> None:
    """Says how long the prompt is, and what is cut of the rows."""
    if all(word.isdigit() for word in made.words):
        said = f"labels called {', '.join(made.words)} say little to a language model"
        run.emit("warning", text=f"{said}: words={{...}} names them")
    split, room = "validation" if data.num_rows("validation") else "train", made.assets["max_tokens"]
    cut, count = asked.num_cut(made, split) if data.num_rows(split) else (0, 0)
    said = f"{made.num_before} tokens stand before each text"
    if cut:
        said += (
            f"; {cut} of {count} {split} texts are longer than the {room} tokens read, and cut at their end"
        )
    run.emit("note", text=said)
