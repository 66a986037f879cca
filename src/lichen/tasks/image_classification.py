"""image_classification: one label per picture.

Shapes: B rows of a batch, N rows of a split, K classes, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.engine import metrics

PROBABILITIES_UP_TO = 2_000_000
"""Scores keep the whole table of probabilities up to this many numbers."""
SHOWN = 5
"""Labels per answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageClassification:
    """The task of naming what a picture shows."""

    name: str = "image_classification"
    headline: str = "accuracy"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("image", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, fewer than two classes, a target that is no class, no rows.
        """
        for column in self.columns:
            if column not in data.schema["columns"]:
                raise DataError(f"image classification needs a column for `{column}`", where=data.root)
        if len(data.labels) < 2:
            raise DataError(
                f"there must be two classes at least; the data has only `{''.join(data.labels)}`",
                where=data.root,
            )
        if not data.num_rows(split):
            raise DataError(f"split `{split}` has no rows", where=data.root)
        rows = data.rows(split)
        wrong = np.flatnonzero((rows.targets < 0) | (rows.targets >= len(data.labels)))
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"target {rows.targets[row]} is no class: there are {len(data.labels)}",
                where=rows.describe(row),
            )
        if split == "train" and rows.targets.min() == rows.targets.max():
            raise DataError(
                f"every train row has the label `{data.labels[rows.targets[0]]}`", where=data.root
            )

    def num_outputs(self, data: Dataset) -> int:
        return len(data.labels)

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """`labels`, per-channel `mean` and `std` of pixels in 0 to 1, `image_shape` [C, H, W].

        Args:
            image_size: the side that pictures are resized to; None: their own.
            normaliser: mean and deviation per channel; None: those of the train rows.
        """
        rows = data.rows("train")
        if normaliser is None:
            images_NCHW = rows.images if image_size is None else rows.at_size(image_size)
            mean_C, std_C = channel_figures(images_NCHW)
            shape = images_NCHW.shape[1:]
        else:
            if image_size is None and not rows.is_uniform:
                raise DataError(
                    "the pictures differ in size", hint="give an image size, such as image_size=224"
                )
            channels, height, width = rows.shape
            shape = (channels, height, width) if image_size is None else (channels, image_size, image_size)
            mean_C, std_C = (_per_channel(figures, channels) for figures in normaliser)
        return {"labels": data.labels, "mean": mean_C, "std": std_C, "image_shape": list(shape)}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """uint8 (B, C, H, W) -> float32 of mean 0 and deviation 1 over the train rows."""
        scale, shift = _affine(tuple(assets["mean"]), tuple(assets["std"]), str(batch.device))
        return torch.addcmul(shift, batch.float(), scale)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy per row (B,) of outputs (B, K)."""
        return functional.cross_entropy(outputs.float(), targets, reduction="none")

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of one epoch, headline first."""
        return {"accuracy": float((outputs.argmax(1) == targets).mean()),
                "log_loss": float(metrics.row_losses(outputs, targets).mean())}  # fmt: skip

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals and per-row answers of outputs (N, K)."""
        probabilities_NK = metrics.softmax(outputs)
        losses_N = metrics.row_losses(outputs, targets)
        answers = {
            "truth": targets.astype(np.int32),
            "answer": outputs.argmax(1).astype(np.int32),
            "confidence": probabilities_NK.max(1).astype(np.float32),
            "outcome": (outputs.argmax(1) == targets).astype(np.float32),
            "loss": losses_N.astype(np.float32),
        }
        if probabilities_NK.size <= PROBABILITIES_UP_TO:
            answers["probabilities"] = probabilities_NK.astype(np.float16)
        figures = metrics.of_classes(probabilities_NK, losses_N, targets)
        return figures, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row the label, its confidence, and the likeliest labels with theirs."""
        labels = assets.get("labels") or [str(place) for place in range(outputs.shape[1])]
        replies = []
        for row_K in metrics.softmax(outputs):
            order = np.argsort(-row_K, kind="stable")[:SHOWN]
            top = [{"label": labels[place], "confidence": float(row_K[place])} for place in order]
            replies.append({**top[0], "top": top})
        return replies


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


TASK = ImageClassification()
