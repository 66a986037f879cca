"""sentence_embedding: a text as a vector, near those of texts that mean the same.

Which texts those are is said by labels: the two of a pair may have a label of their own, or all texts of a
topic one. A model is scored by whether the nearest of the other rows has a row's label, as retrieval is.

Papers: Khosla et al. 2020, equation 2 (the loss); Musgrave et al. 2020, section 2 (leave-one-out retrieval).
Shapes: B rows of a batch, N rows of a split, D width of a vector, C rows at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.engine import embedding
from lichen.engine.inputs import images, texts
from lichen.engine.scores import divergence, metrics

WIDTH = 128
"""Of the vectors of a fresh net; a pretrained encoder keeps its own."""
TEMPERATURE = 0.05
"""Of cosines: Gao et al. 2021, section 4."""
RANKS = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceEmbedding:
    """The task of saying where a text lies among others."""

    name: str = "sentence_embedding"
    headline: str = "recall_at_1"
    higher_is_better: bool = True
    columns: tuple[str, ...] = ("text", "label")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows among which nothing can be found.

        Raises:
            DataError: a missing column, no rows, fewer than two labels, or a label of one row alone.
        """
        images.check(data, split, self.columns)
        images.check_classes(data, split)
        counts = np.bincount(data.rows(split).targets)
        if (counts == 1).any():
            label = data.labels[int((counts == 1).argmax())]
            raise DataError(
                f"every label in {split} must have two rows at least, to be found by each other;"
                f" `{label}` has one", hint="group= keeps the rows of a label in one split",
            )  # fmt: skip

    def num_outputs(self, data: Dataset) -> int:
        return WIDTH

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """Nothing: a vector says where a text lies, whatever the labels were.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        images.refuse_sizes("texts", image_size, normaliser)
        return {}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """int32 (B, T) cut to the longest text of the batch."""
        return texts.cut(batch)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How far each row (B,) is from those of its label, among all of the batch; 0 where it has none."""
        unit_BD = functional.normalize(outputs.float(), dim=-1)
        is_self_BB = torch.eye(len(targets), dtype=torch.bool, device=outputs.device)
        told_BB = torch.log_softmax((unit_BD @ unit_BD.T / TEMPERATURE).masked_fill(is_self_BB, -1e9), -1)
        is_same_BB = (targets[:, None] == targets[None]) & ~is_self_BB
        return -(told_BB * is_same_BB).sum(-1) / is_same_BB.sum(-1).clamp(min=1)

    def apart(self, outputs: Tensor, taught: Tensor, assets: Mapping[str, Any], temperature: float) -> Tensor:
        """1 - cos (B,) of the angle between a vector and a teacher's."""
        return divergence.of_directions(outputs, taught)

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The share of rows whose nearest has their label."""
        return {"recall_at_1": float((found(outputs, targets)[0] == 1).mean())}

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Recall at several ranks and the mean reciprocal rank, with 95 % intervals."""
        rank_N, nearest_N, cosine_N = found(outputs, targets)
        told = {f"recall_at_{k}": metrics.proportion(int((rank_N <= k).sum()), len(rank_N)) for k in RANKS}
        told["mean_reciprocal_rank"] = metrics.positive_mean(1.0 / rank_N)
        answers = {
            "truth": targets.astype(np.int32),
            "answer": targets[nearest_N].astype(np.int32),
            "confidence": cosine_N.astype(np.float32),
            "outcome": (rank_N == 1).astype(np.float32),
        }
        return told, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row its vector, of length 1."""
        return [{"embedding": row.tolist()} for row in embedding.unit(outputs)]


def found(outputs_ND: np.ndarray, targets_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By cosine to all other rows: the rank of the first of a row's label, the nearest row, its cosine."""
    unit_ND = embedding.unit(outputs_ND)
    parts = [_found(unit_ND, targets_N, start) for start in range(0, len(unit_ND), embedding.AT_ONCE)]
    rank_N, nearest_N, cosine_N = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rank_N, nearest_N, cosine_N


def _found(unit_ND: np.ndarray, targets_N: np.ndarray, start: int) -> tuple[np.ndarray, ...]:
    end = min(start + embedding.AT_ONCE, len(unit_ND))
    cosine_CN = unit_ND[start:end] @ unit_ND.T
    cosine_CN[np.arange(end - start), np.arange(start, end)] = -np.inf
    is_same_CN = targets_N[start:end, None] == targets_N[None]
    best_C1 = np.where(is_same_CN, cosine_CN, -np.inf).max(1, keepdims=True)
    rank_C = 1 + ((cosine_CN >= best_C1) & ~is_same_CN).sum(1)  # of equals the wrong one counts first
    nearest_C = cosine_CN.argmax(1)
    return rank_C, nearest_C, cosine_CN[np.arange(end - start), nearest_C]


TASK = SentenceEmbedding()
