"""smote: add rows of a table between real rows of a class, so that a rare class has as many as a common one.

Paper: Chawla et al. 2002, "SMOTE: Synthetic Minority Over-sampling Technique", with levels as its SMOTE-NC.
Departs from it: any class may get rows, in any ratio.
"""

from __future__ import annotations

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.progress import Run
from lichen.core.schema import Count, Positive, Seed
from lichen.core.step import step
from lichen.data import encoder, extension, tabular
from lichen.data.tabular import Record
from lichen.engine.generation import interpolation


@step
def smote(
    data: Dataset,
    *,
    ratio: Positive | None = None,
    ratios: dict | None = None,
    neighbours: Count = 5,
    seed: Seed = 0,
    run: Run,
) -> Dataset:
    """Adds rows to train between real ones; their provenance says so, and rows that judge stay real.

    Args:
        ratio: rows added to a class for each real one that it has; None: as many as the most common class
            has more.
        ratios: the same for single classes, such as {"rare": 3}.
        neighbours: near rows of its class, to one of which a row is moved.

    Raises:
        UsageError: the data are no table, a class that is to have more has one real row, or no row is added.
        OptionError: a class of `ratios` is none of the data's.
    """
    if "tabular" not in data.schema:
        raise UsageError("only rows of a table have others between them",
                         hint="li.table and load(features=) read tables")  # fmt: skip
    wanted_K = extension.wanted(data, ratio, ratios or {})
    rows, real = data.rows("train"), np.flatnonzero(extension.provenance(data).is_real)
    every, targets = rows.records, rows.targets[real]
    records = [every[row] for row in real.tolist()]
    told = encoder.fitted_to(records)
    found: list[Record] = []
    for number, count in enumerate(wanted_K.tolist()):
        held = [records[place] for place in np.flatnonzero(targets == number).tolist()]
        if count and len(held) < 2:
            raise UsageError(
                f"there must be two real rows for others between them; class `{data.labels[number]}` has "
                f"{len(held)}", hint="a ratio of 0 leaves it as it is",
            )  # fmt: skip
        found += interpolation.between(held, count, told, k=neighbours, seed=seed) if count else []
    return _joined(data, told.names, found, np.repeat(np.arange(len(wanted_K)), wanted_K), run)


def _joined(data: Dataset, names: list[str], found: list[Record], targets_M: np.ndarray, run: Run) -> Dataset:
    """The data with these rows, without those that stand in a split that judges."""
    made = np.empty(len(found), object)
    made[:] = [tabular.row(record, names) for record in found]
    is_new_M = extension.unjudged(data, made)
    num_judged = int((~is_new_M).sum())
    run.emit(
        "note", text=f"{len(found)} rows between real ones; left out: {num_judged} equal to rows that judge"
    )
    return extension.extended(data, made[is_new_M], targets_M[is_new_M], origin=extension.BETWEEN)
