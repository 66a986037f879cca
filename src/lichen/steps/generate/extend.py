"""extend: add the train rows of synthetic data to those of real data; rows that judge stay real."""

from __future__ import annotations

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError, nearest
from lichen.core.progress import Run
from lichen.core.step import step
from lichen.data import extension
from lichen.engine.training import supervised


@step
def extend(data: Dataset, synthetic: Dataset, *, run: Run) -> Dataset:
    """Adds rows to train, each with a provenance that says they are not real.

    Synthetic rows whose picture also stands in validation or test are left out.

    Args:
        data: the real rows.
        synthetic: its train rows are added, under the labels that both know; its other splits are not used.

    Raises:
        UsageError: a label is none of the data's, pictures cannot take its shape, or no row is left.
    """
    rows = synthetic.rows("train")
    numbers_K = np.array([_number(label, data.labels) for label in synthetic.labels])
    made = _fitting(synthetic, data)
    is_new_M = extension.unjudged(data, made)
    if not is_new_M.all():
        run.emit(
            "note", text=f"left out {int((~is_new_M).sum())} synthetic rows that stand in a split that judges"
        )
    origin = f"synthetic {synthetic.id}"
    return extension.extended(data, made[is_new_M], numbers_K[rows.targets[is_new_M]], origin=origin)


def _fitting(synthetic: Dataset, data: Dataset) -> np.ndarray:
    """Synthetic rows as the data has them: pixels (M, C, H, W), or the bytes of a table's rows (M,)."""
    rows = synthetic.rows("train")
    if "tabular" not in data.schema:
        return supervised.pixels(rows, data.rows("train").shape)
    if synthetic.schema.get("tabular") != data.schema["tabular"]:
        raise UsageError(
            f"synthetic rows must have the columns {', '.join(data.schema['tabular']['columns'])}"
        )
    found = np.empty(rows.num_rows, object)
    found[:] = rows.encoded(np.arange(rows.num_rows))
    return found


def _number(label: str, labels: list[str]) -> int:
    if label not in labels:
        raise UsageError(f"synthetic label `{label}` is none of the data's", hint=nearest(label, labels))
    return labels.index(label)
