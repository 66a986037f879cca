"""load: find data by name, divide it into train, validation and test, and name every row by its content."""

from __future__ import annotations

from typing import Literal

from lichen.core.dataset import Dataset
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Source
from lichen.core.step import step
from lichen.data.loading import Plan
from lichen.data.loading import load as load_source


@step(splits=())
def load(
    *,
    source: Source = "digits",
    image: str | None = None,
    label: str | None = None,
    validation: Fraction = 0.1,
    test: Fraction = 0.2,
    duplicates: Literal["drop", "refuse", "keep"] = "drop",
    num_train: Count | None = None,
    keep: bool = False,
    run: Run,
) -> Dataset:
    """Loads a dataset; a missing validation or test split is carved by hash, so new rows never move old ones.

    Near duplicates across splits (encoded anew, brighter, moved, cropped, mirrored) are kept and reported.

    Args:
        source: a file or folder, its name under `$LICHEN_DATA`, `digits`, or `hf:org/name` on the hub.
        image: the column of pictures; None: found.
        label: the column of classes; None: found.
        validation: share of train rows that become validation when the source has none.
        test: the same for test.
        duplicates: what to do with pictures that stand in two splits: drop them from the one that is judged,
            refuse the data, or keep them.
        num_train: keep this many train rows, each class in its share; None keeps all.
        keep: copy the rows into the store, so that they outlive their files.
    """
    plan = Plan(
        image=image,
        label=label,
        validation=validation,
        test=test,
        duplicates=duplicates,
        num_train=num_train,
        keep=keep,
    )
    return load_source(source, plan, note=lambda text: run.emit("note", text=text))
