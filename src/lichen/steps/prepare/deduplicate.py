"""deduplicate: take out of train what it says or shows twice, or nearly as validation does.

Copies make a model learn some rows by heart, and figures of rows whose likes were learnt too good to be true.
What is taken out, and for which row, is kept in the data that it makes.
Paper: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better".
"""

from __future__ import annotations

from functools import partial

from lichen.core.dataset import Dataset
from lichen.core.progress import Run
from lichen.core.schema import Fraction
from lichen.core.step import step
from lichen.data import manifest
from lichen.data.near import removal


@step(splits=("train", "validation"))
def deduplicate(data: Dataset, *, farthest: Fraction | None = None, run: Run) -> Dataset:
    """Removes rows of train alone: those equal to an earlier one, near one, or near one of validation.

    Rows near those of test are removed by `prepare.load(near="drop")`, for no other step opens test.

    Args:
        farthest: how far apart near rows may be: of texts 1 - the share of their runs of three words that
            both have, of pictures 1 - correlation; None: what loading reports, .6 and .06.

    Raises:
        UsageError: rows are what an agent saw, or some were drawn from a generator.
        DataError: no row is left.
    """
    found = removal.of_train(data, farthest=farthest, note=lambda text: run.emit("note", text=text))
    told = partial(removal.recorded, data, "train", found)
    return manifest.only(data, "train", found.kept, removed=told)
