"""preference: how much likelier a net finds chosen answers than rejected ones, beside what it found at first.

The reward of an answer is beta (log p - log p0), p0 being the net's own chance before it learnt; the loss of
a pair is -log sigma(reward of the chosen - reward of the rejected), log 2 at first.

Paper: Rafailov et al. 2023, equation 7. By length: chances are those of a token on average (Meng et al. 2024,
section 2.2, which has no p0).
Shapes: B rows of a batch, T tokens, M pairs of a row at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.data.tokenizer import PAD
from lichen.engine.training import execution, telling
from lichen.engine.training.execution import Execution
from lichen.engine.training.job import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How chances become a loss.

    Args:
        beta: how far the net may leave what it was.
        by_length: chances are of a token on average instead of the whole answer.
        most: pairs of a row at most.
    """

    beta: float
    by_length: bool
    most: int

    def chances(self, module: nn.Module, rows_B3T: Tensor) -> Tensor:
        """float32 (B, M, 2): log p of the chosen and the rejected answer of each pair; 0: there is none."""
        told_BT, num_places = rows_B3T[:, 1].long(), 2 * self.most
        loss_Q = telling.losses(module, rows_B3T[:, 0], told_BT)
        is_told_BT = told_BT != PAD
        row_B1 = torch.arange(len(rows_B3T), device=rows_B3T.device)[:, None]
        place_Q = (row_B1 * num_places + rows_B3T[:, 2] - 1)[is_told_BT].long()
        empty = loss_Q.new_zeros(len(rows_B3T) * num_places)
        found = empty.index_add(0, place_Q, -loss_Q)
        if self.by_length:
            found = found / empty.index_add(0, place_Q, torch.ones_like(loss_Q)).clamp(min=1)
        return found.view(len(rows_B3T), self.most, 2)

    def margins(self, chance_BM2: Tensor, first_BM2: Tensor) -> Tensor:
        """(B, M): the reward of the chosen over that of the rejected."""
        reward_BM2 = self.beta * (chance_BM2 - first_BM2)
        return reward_BM2[..., 0] - reward_BM2[..., 1]

    def are_pairs(self, rows_B3T: Tensor) -> Tensor:
        """bool (B, M): where a row has a pair."""
        count_B1 = rows_B3T[:, 2].amax(1, keepdim=True) // 2
        return torch.arange(self.most, device=rows_B3T.device) < count_B1

    def objective(self, module: nn.Module, rows_B3T: Tensor, first_BM2: Tensor) -> Tensor:
        """The mean loss of the pairs of a batch, some rows at a time."""
        count = self.are_pairs(rows_B3T).sum()
        size = max(1, telling.MOST_TOKENS // rows_B3T.shape[-1])
        pieces = zip(rows_B3T.split(size), first_BM2.split(size))
        return telling.summed(module, [partial(self._share, module, *piece, count) for piece in pieces])

    def _share(self, module: nn.Module, rows_B3T: Tensor, first_BM2: Tensor, count: Tensor) -> Tensor:
        margin_BM = self.margins(self.chances(module, rows_B3T), first_BM2)
        return -functional.logsigmoid(margin_BM)[self.are_pairs(rows_B3T)].sum() / count


def first(
    module: nn.Module, rows_N3T: np.ndarray, rule: Rule, *, chosen: Execution, device: str,
    note: Callable[[int, int], None] | None = None,
) -> Tensor:  # fmt: skip
    """float32 (N, M, 2): what a net finds before it learns, computed once, as training will compute it."""
    module.to(device).eval()
    found = []
    with execution.in_force(chosen, device), torch.no_grad(), chosen.autocast(device):
        for done, row in enumerate(rows_N3T, 1):
            rows_13T = torch.from_numpy(row[None]).to(device)
            found.append(rule.chances(module, rows_13T).float().cpu())
            if note is not None:
                note(done, len(rows_N3T))
    return torch.cat(found)


def judge(rows_N3T: np.ndarray, first_NM2: Tensor, rule: Rule, *, device: str) -> Judge:
    """Judges on pairs: the loss, how often the chosen answer has the larger reward, and by how much."""

    @torch.no_grad()
    def measure(module: nn.Module) -> dict[str, float]:
        margins = []
        for row, first_M2 in zip(rows_N3T, first_NM2, strict=True):
            rows_13T = torch.from_numpy(row[None]).to(device)
            margin_1M = rule.margins(rule.chances(module, rows_13T), first_M2[None].to(device))
            margins.append(margin_1M[rule.are_pairs(rows_13T)].float().cpu())
        return figures(torch.cat(margins))

    return Judge(measure=measure, headline="preference_loss", higher_is_better=False)


def figures(margin_P: Tensor) -> dict[str, float]:
    """Of the margins of pairs; equal rewards are half right."""
    right_P = (margin_P > 0).double() + 0.5 * (margin_P == 0)
    return {
        "preference_loss": float(-functional.logsigmoid(margin_P.double()).mean()),
        "preference_accuracy": float(right_P.mean()), "margin": float(margin_P.double().mean()),
    }  # fmt: skip
