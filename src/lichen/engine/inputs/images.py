"""images: what every task on pictures does with pixels: their shape, their normalisation.

Shapes: B rows of a batch, N rows of a split, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, OptionError, UsageError

Normaliser = tuple[list[float], list[float]]
"""Mean and deviation per channel, of pixels in 0 to 1."""


INSTEAD = {
    "tabular": "of rows of a table: task='tabular_classification', net='mlp'; generate.ctgan makes some",
    "text": "of texts: task='text_classification', with a tokenizer",
}
"""What rows that are no pictures are for, by their name in a schema."""


def check(data: Dataset, split: str, columns: tuple[str, ...], *, are_several: bool = False) -> None:
    """Refuses rows without pictures or labels, or with labels of another form.

    Raises:
        DataError: a missing column, too few classes, no rows, or labels of the other form.
    """
    for column in columns:
        if column not in data.schema["columns"]:
            hint = next((said for kind, said in INSTEAD.items() if kind in data.schema), None)
            raise DataError(f"this task needs a column for `{column}`", where=data.root, hint=hint)
    if len(data.labels) < (1 if are_several else 2):
        raise DataError(
            f"there must be two classes at least; the data has only `{''.join(data.labels)}`",
            where=data.root,
        )
    if not data.num_rows(split):
        raise DataError(f"split `{split}` has no rows", where=data.root)
    if bool(data.schema.get("are_labels_several")) != are_several:
        raise DataError(
            "rows must have one label each; these may have several"
            if not are_several
            else "rows must be such as may have several labels; these have one each",
            where=data.root,
            hint="load them with label_columns= or separator=; li.arrays takes targets (N, K) of 0 and 1"
            if are_several
            else "task='multi_label_classification'",
        )


def check_classes(data: Dataset, split: str) -> None:
    """Refuses targets that are no class, and train rows of one class alone.

    Raises:
        DataError: there are such rows.
    """
    rows = data.rows(split)
    wrong = np.flatnonzero((rows.targets < 0) | (rows.targets >= len(data.labels)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"target {rows.targets[row]} is no class: there are {len(data.labels)}",
            where=rows.describe(row),
        )
    if split == "train" and rows.targets.min() == rows.targets.max():
        raise DataError(f"every train row has the label `{data.labels[rows.targets[0]]}`", where=data.root)


def refuse_sizes(rows: str, image_size: int | None, normaliser: Normaliser | None) -> None:
    """Refuses what only pictures have.

    Args:
        rows: what these are, as a person calls them.

    Raises:
        OptionError: one is given.
    """
    if image_size is not None or normaliser is not None:
        raise OptionError(f"{rows} have neither image_size nor normaliser")


class Pictures:
    """What a task on pictures inherits: how a row becomes what a net takes."""

    __slots__ = ()

    def assets(
        self, data: Dataset, image_size: int | None = None, *, normaliser: Normaliser | None = None
    ) -> dict[str, Any]:
        """`labels`, per-channel `mean` and `std` of pixels in 0 to 1, `image_shape` [C, H, W].

        Args:
            image_size: the side that pictures are resized to; None: their own.
            normaliser: None: that of the train rows.
        """
        rows = data.rows("train")
        if normaliser is None:
            images_NCHW = rows.images if image_size is None else rows.at_size(image_size)
            mean_C, std_C = channel_figures(images_NCHW)
            shape = images_NCHW.shape[1:]
        else:
            if image_size is None and not rows.is_uniform:
                raise DataError("the pictures differ in size",
                                hint="give an image size, such as image_size=224")  # fmt: skip
            channels, height, width = rows.shape
            shape = (channels, height, width) if image_size is None else (channels, image_size, image_size)
            mean_C, std_C = (_per_channel(figures, channels) for figures in normaliser)
        return {"labels": data.labels, "mean": mean_C, "std": std_C, "image_shape": list(shape)}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """uint8 (B, C, H, W) -> float32 of mean 0 and deviation 1 over the train rows."""
        scale, shift = _affine(tuple(assets["mean"]), tuple(assets["std"]), str(batch.device))
        return torch.addcmul(shift, batch.float(), scale)


def labels_of(outputs: np.ndarray, assets: Mapping[str, Any], *, fewer: int = 0) -> list[str]:
    """The labels that outputs (B, K) are of.

    Args:
        fewer: outputs than labels that the task gives.

    Raises:
        UsageError: there are other numbers of outputs.
    """
    labels = assets.get("labels")
    if labels is None and outputs.ndim == 2:
        return [str(place) for place in range(outputs.shape[1] + fewer)]
    if outputs.ndim != 2 or outputs.shape[1] + fewer != len(labels or ()):
        raise UsageError(
            f"the value must answer {'one number' if not fewer else 'a number less than one'} per label: "
            f"{len(labels or ())} labels, outputs of shape {outputs.shape[1:]}"
        )
    return list(labels or ())


def _per_channel(figures: list[float], channels: int) -> list[float]:
    """Figures of colour for grey pictures are averaged."""
    return list(figures) if len(figures) == channels else [sum(figures) / len(figures)] * channels


@lru_cache(maxsize=64)
def _affine(mean: tuple[float, ...], std: tuple[float, ...], device: str) -> tuple[Tensor, Tensor]:
    """Scale and shift (C, 1, 1) that take bytes to normalised floats."""
    with torch.inference_mode(False):
        deviation = torch.tensor(std, dtype=torch.float32, device=device)
        scale = 1.0 / (255.0 * deviation)
        shift = -torch.tensor(mean, dtype=torch.float32, device=device) / deviation
        return scale[:, None, None], shift[:, None, None]


def channel_figures(images_NCHW: np.ndarray, chunk: int = 1000) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel, in 0 to 1, exact to the last row: sums of whole numbers."""
    sums, squares, count = 0, 0, images_NCHW[:, 0].size
    for start in range(0, len(images_NCHW), chunk):
        wide = images_NCHW[start : start + chunk].astype(np.uint32)
        sums = sums + wide.sum((0, 2, 3), dtype=np.uint64)
        squares = squares + (wide * wide).sum((0, 2, 3), dtype=np.uint64)
    mean_C = np.asarray(sums, np.float64) / count
    variance_C = np.asarray(squares, np.float64) / count - mean_C**2
    return (mean_C / 255).tolist(), np.maximum(np.sqrt(np.maximum(variance_C, 0)) / 255, 1e-3).tolist()
