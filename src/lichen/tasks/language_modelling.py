"""language_modelling: what the next token of a document is.

The headline counts bits per byte of text, so that it does not depend on the tokenizer. Intervals are over
documents: tokens of one document are no independent draws.

Rows of documents are (B, T + 1), each token to be told by those before it; rows of conversations (B, 2, T),
what is read and what each place tells, PAD where that is nothing.

Shapes: B rows of a batch, N rows of a split, T tokens of a row, V different ones, D documents, R replicates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError
from lichen.data import conversations
from lichen.data.tokenizer import PAD
from lichen.engine.inputs import images
from lichen.engine.scores import metrics
from lichen.engine.training import telling

NOTHING = -1.0
"""Stands in for the loss of a place where no token is to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModelling:
    """The task of telling a text token by token."""

    name: str = "language_modelling"
    headline: str = "bits_per_byte"
    higher_is_better: bool = False
    columns: tuple[str, ...] = ("text",)

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, or no rows.
        """
        if not {"text", *conversations.KINDS} & data.schema.keys():
            raise DataError("this task needs a column for `text`, or conversations", where=data.root)
        if not data.num_rows(split):
            raise DataError(f"split `{split}` has no rows", where=data.root)

    def num_outputs(self, data: Dataset) -> int:
        """0: a net is not asked about whole texts."""
        return 0

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """That rows are packed; the tokenizer comes from elsewhere.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        images.refuse_sizes("texts", image_size, normaliser)
        return {"is_packed": True}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """int32 (B, T): what is read; of a document all but the last token."""
        return batch[:, 0] if batch.ndim == 3 else batch[:, :-1]

    def objective(self, module: nn.Module, rows: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """The mean loss of the tokens that rows tell, computed some rows at a time."""
        told_BT = telling.told_of(rows)
        if rows.ndim == 3 or telling.is_large(module, rows):
            return telling.mean_loss(module, self.inputs(rows, assets), told_BT)
        logits_BTV = module(self.inputs(rows, assets))
        telling.require_tokens(logits_BTV, told_BT)
        return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), told_BT.flatten(), ignore_index=PAD)

    def told(self, module: nn.Module, rows: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """Loss of each token (B, T) of rows, NOTHING where none is told."""
        told_BT = telling.told_of(rows)
        found_BT = torch.full(told_BT.shape, NOTHING, device=rows.device)
        found_BT[told_BT != PAD] = telling.losses(module, self.inputs(rows, assets), told_BT)
        return found_BT

    def kept(self, outputs: Tensor, rows: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """Loss of each token (B, T) of logits (B, T, V), NOTHING where none is told."""
        told_BT = telling.told_of(rows)
        return torch.where(told_BT != PAD, _losses(outputs, told_BT), NOTHING)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss per row (B,) of logits (B, T, V) against tokens (B, T)."""
        is_told_BT = targets != PAD
        return (_losses(outputs, targets) * is_told_BT).sum(1) / is_told_BT.sum(1).clamp(min=1)

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """Mean loss per row (B,) of logits (B, T, V) against all tokens alike."""
        return -torch.log_softmax(outputs.float(), -1).mean((1, 2))

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of losses (N, T) and targets (N, T, 2), headline first."""
        is_told_NT = _are_told(outputs, targets)
        total, count = float(outputs[is_told_NT].astype(np.float64).sum()), int(is_told_NT.sum())
        num_bytes = max(1, int(targets[..., 1][is_told_NT].sum()))
        return {"bits_per_byte": total / math.log(2) / num_bytes, "loss": total / max(1, count)}

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals over documents, and answers per document, of losses (N, T).

        Args:
            targets: int (N, T, 2): document and bytes of each token to be told.
        """
        is_told_NT = _are_told(outputs, targets)
        _, document_Q = np.unique(targets[..., 0][is_told_NT], return_inverse=True)
        nats_D = np.bincount(document_Q, outputs[is_told_NT].astype(np.float64))
        bytes_D = np.bincount(document_Q, targets[..., 1][is_told_NT])
        tokens_D = np.bincount(document_Q)
        bits_D, loss = nats_D / math.log(2), metrics.ratio(nats_D, tokens_D)
        found = {
            "bits_per_byte": metrics.ratio(bits_D, bytes_D), "loss": loss,
            "perplexity": {name: _exp(x) if name != "level" else x for name, x in loss.items()},
        }  # fmt: skip
        answers = {
            "outcome": (bits_D / max(1.0, bytes_D.mean())).astype(np.float32),
            "loss": (nats_D / tokens_D).astype(np.float32),
            "num_tokens": tokens_D.astype(np.int32), "num_bytes": bytes_D.astype(np.int32),
        }  # fmt: skip
        return found, {name: Array.of(values) for name, values in answers.items()}

    def reply(self, outputs: np.ndarray, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per row of losses (B, T) how surprising the text is, up to as many tokens as the net reads."""
        replies = []
        for losses_T in outputs:
            told_T = losses_T[losses_T >= 0]
            loss = float(told_T.mean()) if len(told_T) else 0.0
            replies.append({"perplexity": _exp(loss), "loss": loss, "num_tokens": len(told_T)})
        return replies


def _are_told(outputs_NT: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """bool (N, T): tokens of documents that have a loss; an end that is the number PAD has none."""
    return (targets[..., 0] >= 0) & (outputs_NT != NOTHING)


def _losses(logits_BTV: Tensor, told_BT: Tensor) -> Tensor:
    return functional.cross_entropy(logits_BTV.float().transpose(1, 2), told_BT.long(), reduction="none")


def _exp(loss: float) -> float:
    return math.exp(min(loss, 700.0))


TASK = LanguageModelling()
