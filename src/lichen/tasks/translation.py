"""translation: what a text becomes: the same in another language, or any text that follows from it.

The headline is BLEU of texts that were really told, by a beam; while a net trains it is judged by the bits it
needs per byte of the wanted text.

Shapes: B rows of a batch, N rows of a split, L numbers of a pair, T tokens to be told, V different ones.
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
from lichen.core.errors import DataError, UsageError
from lichen.data.pairing import halves
from lichen.data.tokenizer import PAD
from lichen.engine.inputs import images
from lichen.engine.scores import bleu, metrics

NOTHING = -1.0
"""Stands in for the loss of a place where no token is to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The task of telling what a text becomes."""

    name: str = "translation"
    headline: str = "bleu"
    higher_is_better: bool = True
    quick: str = "bits_per_byte"
    columns: tuple[str, ...] = ("text", "target")

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: rows are no pairs, or there are none.
        """
        if "bitext" not in data.schema:
            raise DataError("this task needs pairs of texts, a column for `text` and one for `target`",
                            where=data.root, hint="load(source, text='en', target='de')")  # fmt: skip
        if not data.num_rows(split):
            raise DataError(f"split `{split}` has no rows", where=data.root)

    def num_outputs(self, data: Dataset) -> int:
        """0: a net is asked for tokens."""
        return 0

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """That rows are pairs; the tokenizer comes from elsewhere.

        Raises:
            OptionError: a size or a normaliser of pictures is given.
        """
        images.refuse_sizes("texts", image_size, normaliser)
        return {"is_paired": True}

    def inputs(self, batch: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """int32 (B, L - 1): all but the last number of each row, which is only told."""
        return batch[:, :-1]

    def objective(self, module: nn.Module, rows: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """The mean loss of the tokens that rows tell."""
        return self.smoothed(module, rows, assets, 0.0)

    def smoothed(self, module: nn.Module, rows: Tensor, assets: Mapping[str, Any], share: float) -> Tensor:
        """The same where this share of each target goes to all tokens alike."""
        logits_BTV, told_BT = module(self.inputs(rows, assets)), _told(rows)
        if logits_BTV.ndim != 3 or logits_BTV.shape[1] > told_BT.shape[1]:
            raise UsageError("a net must tell a target token by token from its source; this one does not",
                             hint="net='seq2seq'")  # fmt: skip
        told_BT = told_BT[:, : logits_BTV.shape[1]]
        return functional.cross_entropy(
            logits_BTV.flatten(0, 1).float(),
            told_BT.flatten(),
            ignore_index=PAD,
            label_smoothing=share,
        )

    def told(self, module: nn.Module, rows: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """Loss of each token (B, T) of rows, NOTHING where none is told."""
        return self.kept(module(self.inputs(rows, assets)), rows, assets)

    def kept(self, outputs: Tensor, rows: Tensor, assets: Mapping[str, Any]) -> Tensor:
        """Loss of each token (B, T) of logits (B, up to T, V), NOTHING where none is told."""
        told_BT = _told(rows)
        found_BT = torch.full(told_BT.shape, NOTHING, device=rows.device)
        told_BT = told_BT[:, : outputs.shape[1]]
        found_BT[:, : outputs.shape[1]] = torch.where(told_BT != PAD, _losses(outputs, told_BT), NOTHING)
        return found_BT

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss per row (B,) of logits (B, T, V) against tokens (B, T)."""
        is_told_BT = targets != PAD
        return (_losses(outputs, targets) * is_told_BT).sum(1) / is_told_BT.sum(1).clamp(min=1)

    def blank_loss(self, outputs: Tensor) -> Tensor:
        """Mean loss per row (B,) of logits (B, T, V) against all tokens alike."""
        return -torch.log_softmax(outputs.float(), -1).mean((1, 2))

    def figures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The quick figures of losses (N, T) and the bytes of each token (N, T)."""
        nats_N, bytes_N, tokens_N = _summed(outputs, targets)
        return {
            "bits_per_byte": float(nats_N.sum() / math.log(2) / max(1, bytes_N.sum())),
            "loss": float(nats_N.sum() / max(1, tokens_N.sum())),
        }

    def score(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """The quick figures with 95 % intervals over rows, and the loss of each, of losses (N, T)."""
        nats_N, bytes_N, tokens_N = _summed(outputs, targets)
        found = {
            "bits_per_byte": metrics.ratio(nats_N / math.log(2), bytes_N),
            "loss": metrics.ratio(nats_N, tokens_N),
        }  # fmt: skip
        loss_N = nats_N / np.maximum(1, tokens_N)
        return found, {"loss": Array.of(loss_N.astype(np.float32))}

    def judge(
        self, outputs: np.ndarray, targets: np.ndarray, said: list[str], wanted: list[str]
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """BLEU, chrF and the quick figures, and per row what was said and its share of BLEU."""
        figures, share_N = bleu.judged(said, wanted)
        quick, answers = self.score(outputs, targets)
        truth_NW, answer_NW = bleu.packed(wanted, said)
        told = {"outcome": share_N, "truth": truth_NW, "answer": answer_NW}
        return {**figures, **quick}, {**{name: Array.of(values) for name, values in told.items()}, **answers}

    def reply(self, outputs: list[str], assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Per text what it becomes."""
        return [{"translation": text} for text in outputs]


def _told(rows: Tensor) -> Tensor:
    """int64 (B, T): the tokens that rows tell."""
    return halves(rows)[1][:, 1:].long()


def _losses(logits_BTV: Tensor, told_BT: Tensor) -> Tensor:
    return functional.cross_entropy(logits_BTV.float().transpose(1, 2), told_BT.long(), reduction="none")


def _summed(losses_NT: np.ndarray, bytes_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nats, bytes and tokens (N,) of each row."""
    is_told_NT = bytes_NT >= 0
    nats_N = np.where(is_told_NT, losses_NT.astype(np.float64), 0.0).sum(1)
    return nats_N, np.where(is_told_NT, bytes_NT, 0).sum(1), is_told_NT.sum(1)


TASK = Translation()
