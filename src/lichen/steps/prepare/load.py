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
    text: str | None = None,
    target: str | None = None,
    features: list[str] | None = None,
    label: str | None = None,
    group: str | None = None,
    messages: str | None = None,
    prompt: str | None = None,
    answer: str | None = None,
    chosen: str | None = None,
    rejected: str | None = None,
    unit: Literal["document", "passage", "line"] | None = None,
    label_columns: list[str] | None = None,
    separator: str | None = None,
    classes: list[str] | None = None,
    validation: Fraction = 0.1,
    test: Fraction = 0.2,
    duplicates: Literal["drop", "refuse", "keep"] = "drop",
    near: Literal["keep", "drop"] = "keep",
    num_train: Count | None = None,
    keep: bool = False,
    run: Run,
) -> Dataset:
    """Loads a dataset; a missing validation or test split is carved by hash, so new rows never move old ones.

    Near duplicates across splits (pictures encoded anew, brighter, moved, cropped, mirrored; texts with words
    changed, in other case, or inside others) are reported, and kept unless told otherwise.

    Args:
        source: a file or folder, its name under `$LICHEN_DATA`, `digits`, or `hf:org/name` on the hub.
        image: the column of pictures; None: found.
        text: the column of texts; None: found.
        features: the columns of numbers and words that a row of a table holds; ["*"]: all others,
            ["*", "-id"]: all but `id`.
        target: the column of what each text is to become, such as its translation; rows are then pairs.
        label: the column of classes; None: found. Empty: none, for texts that are only read.
        group: the column of what keeps rows in one split, such as their author.
        messages: the column of conversations, lists of {role, content}; None: found.
        prompt: the column of questions; answer: that of their answers; None: found.
        chosen: the column of answers that were preferred; rejected: that of the others; None: found.
        unit: what a row of text files is; None: a document, and of a lone file a passage.
        label_columns: columns of 0 and 1, one for each label, of rows that may have several.
        separator: what stands between the labels in a cell, of rows that may have several.
        classes: the classes in their order; None: as the source has them, else sorted.
        validation: share of train rows that become validation when the source has none.
        test: the same for test.
        duplicates: what to do with rows that stand in two splits: drop them from the one that is judged,
            refuse the data, or keep them.
        near: drop takes out rows of train, and of validation, that nearly equal a row which judges them;
            which they were stays in the data.
        num_train: keep this many train rows, each class in its share; None keeps all.
        keep: copy the rows into the store, so that they outlive their files.
    """
    plan = Plan(
        image=image,
        text=text,
        target=target,
        features=None if features is None else tuple(features),
        label=label,
        group=group,
        messages=messages,
        prompt=prompt,
        answer=answer,
        chosen=chosen,
        rejected=rejected,
        unit=unit,
        label_columns=None if label_columns is None else tuple(label_columns),
        separator=separator,
        classes=None if classes is None else tuple(classes),
        validation=validation,
        test=test,
        duplicates=duplicates,
        near=near,
        num_train=num_train,
        keep=keep,
    )
    return load_source(source, plan, note=lambda text: run.emit("note", text=text))
