"""synthesize: draw labelled rows from a generator into train, those alone that pass a sieve.

A row passes that a classifier tells as its class, that is no copy of a real row, and that is not far from all
of them. Rows that judge stay real, and the judge of these is `studies.worth_of_synthetic`.
"""

from __future__ import annotations

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Positive, Seed
from lichen.core.step import step
from lichen.core.value import short
from lichen.data import extension
from lichen.engine.generation import drawing, fidelity, memorization
from lichen.engine.generation.drawing import Cells, Pictures
from lichen.engine.generation.sieve import Mesh, Sieve

NUM_ASKED = 1000
"""Rows that are asked whether they are copies."""
HINTS = {
    "not told as their class": "a lower confidence, or a generator trained longer",
    "copies of real rows": "a smaller min_distance, or more rows to learn from",
    "far from all real rows": "a larger max_distance, or a generator trained longer",
}
"""What helps, by the fault of most rows."""


@step
def synthesize(
    generator: Model,
    data: Dataset,
    classifier: Model | None = None,
    *,
    ratio: Positive = 1.0,
    ratios: dict | None = None,
    confidence: Fraction = 0.5,
    min_distance: Positive = 0.1,
    max_distance: Positive | None = 4.0,
    truncation: Positive | None = None,
    tries: Count = 8,
    seed: Seed = 0,
    run: Run,
) -> Dataset:
    """Adds rows to train; their provenance names the generator.

    Args:
        generator: as `generate.gan` returns it, or of a table `generate.ctgan`, of the data's labels.
        classifier: what filters, trained on real rows; None: the distance of pixels or cells does.
        ratio: rows added to a class for each real one that it has.
        ratios: the same for single classes, such as {"6": 20}.
        confidence: the least probability of its class that the classifier gives a row.
        min_distance: from the nearest real row, as a share of the usual way between real neighbours.
        max_distance: the same at most; None: any.
        truncation: how far from 0 the numbers of a code may lie; less is more typical and less varied.
        tries: how many times the rows that are wanted are drawn at most.

    Raises:
        UsageError: a model is no generator, its labels or rows are not like the data's, or nothing passes.
        OptionError: a class of `ratios` is none of the data's.
    """
    source = drawing.of(generator, data, classifier, device=run.device)
    is_real_N = extension.provenance(data).is_real
    wanted_K = extension.wanted(data, ratio, ratios or {})
    mesh = Mesh(confidence=confidence, nearest=min_distance, farthest=max_distance)
    sieve = Sieve(classifier, source.real("train")[is_real_N], mesh, device=run.device)
    made, targets_M = _drawn(source, sieve, wanted_K, truncation, tries=tries, seed=seed, run=run)
    is_new_M = extension.unjudged(data, made)
    _tell(run, sieve, wanted_K, targets_M, int((~is_new_M).sum()))
    if not is_new_M.any():
        fault = max(sieve.dropped, key=lambda name: sieve.dropped[name])
        hint = "all that pass are equal to rows that judge" if len(made) else HINTS[fault]
        raise UsageError("no row that was drawn passes", hint=hint)
    _warn_of_copies(run, sieve, source, made)
    origin = f"synthetic {short(generator.digest)}"
    return extension.extended(data, made[is_new_M], targets_M[is_new_M], origin=origin)


def _drawn(
    source: Pictures | Cells, sieve: Sieve, wanted_K: np.ndarray, truncation: float | None, *, tries: int,
    seed: int, run: Run,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rows that pass (M, ...) and their classes (M,), at most as many of each as are wanted."""
    missing_K, start = wanted_K.copy(), 0
    found = [(source.empty, np.zeros(0, np.int64))]
    for attempt in range(tries):
        targets_M = np.repeat(np.arange(len(missing_K)), missing_K)
        if not len(targets_M):
            break
        made = source.drawn(targets_M, seed=seed, start=start, truncation=truncation)
        start += len(targets_M)
        is_good_M = sieve.passes(source.numbers(made), targets_M)
        found.append((made[is_good_M], targets_M[is_good_M]))
        missing_K = missing_K - np.bincount(targets_M[is_good_M], minlength=len(missing_K))
        run.emit("progress", done=attempt + 1, total=tries)
    rows, targets = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, targets


def _tell(run: Run, sieve: Sieve, wanted_K: np.ndarray, targets_M: np.ndarray, num_judged: int) -> None:
    dropped = {**sieve.dropped, "equal to rows that judge": num_judged}
    said = ", ".join(f"{count} {why}" for why, count in dropped.items() if count) or "none"
    run.emit(
        "note", text=f"{len(targets_M)} of {int(wanted_K.sum())} rows wanted were drawn; left out: {said}"
    )


def _warn_of_copies(run: Run, sieve: Sieve, source: Pictures | Cells, made: np.ndarray) -> None:
    """Asks whether what passed is nearer to train rows than to validation rows."""
    if min(source.data.num_rows("validation"), len(made), len(sieve.real_NF)) < 2 * fidelity.GROUPS:
        return
    some = source.numbers(made[:: -(-len(made) // NUM_ASKED)])
    memory = memorization.asked(
        sieve.real_NF, sieve.features(source.real("validation")), sieve.features(some)
    )
    said = f"area {memory.area['value']:.3f} [{memory.area['low']:.3f}, {memory.area['high']:.3f}]"
    if memory.is_flagged:
        run.emit("warning", text=f"the generator copies train rows: {said} where .5 is no copying")
    else:
        run.emit("note", text=f"no sign of copied train rows: {said} where .5 is no copying")
