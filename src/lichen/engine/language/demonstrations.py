"""demonstrations: train rows that are shown to a language model with their labels.

Paper: Liu et al. 2021, "What Makes Good In-Context Examples for GPT-3?" (those nearest to the row).
Shapes: N demonstrations, T tokens of a text, D tokens of a block, V different tokens, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.data import draws
from lichen.data.texts import Texts
from lichen.data.tokenizer import PAD
from lichen.engine.language.prompts import Demonstration
from lichen.nets import prompted
from lichen.nets.prompted import Prompted

CHOOSING, ORDERING = 0, 1
"""Draws that tell which rows are shown, and in which order."""
TOGETHER = 32
"""Texts on offer that are looked at together."""


def chosen(
    data: Dataset, count: int, *, is_balanced: bool, order: int, seed: int
) -> list[Demonstration]:  # fmt: skip
    """Train rows with their labels.

    Args:
        is_balanced: as many of each class as can be; else as they come.
        order: the number of one order of the same rows: as many numbers are as many orders, until there are
            no others.

    Raises:
        UsageError: there are not so many train rows.
    """
    rows: Texts = data.rows("train")
    if rows.num_rows < count:
        raise UsageError(f"{count} demonstrations need so many train rows; there are {rows.num_rows}")
    by_hash_N = np.argsort(draws.hashes(rows.ids.view(np.int64), seed=seed, epoch=CHOOSING), kind="stable")
    if is_balanced:
        by_hash_N = by_hash_N[np.argsort(_turn(rows.targets[by_hash_N]), kind="stable")]
    picked = by_hash_N[:count]
    ordered = draws.hashes(rows.ids[picked].view(np.int64), seed=seed, epoch=ORDERING)
    picked = picked[np.argsort(ordered, kind="stable")][_permutation(count, order)]
    texts = rows.batch(picked)
    return [Demonstration(text=text, label=int(label))
            for text, label in zip(texts, rows.targets[picked], strict=True)]  # fmt: skip


def _permutation(count: int, order: int) -> list[int]:
    """Of all permutations in the order of the alphabet, one far from those of the numbers before."""
    total = math.factorial(count)
    stride = (
        total * 618 // 1000 or 1
    )  # about the golden share: it comes to all places, each far from the last
    while math.gcd(stride, total) > 1:
        stride += 1
    place, left, found = order * stride % total, list(range(count)), []
    while left:
        total //= len(left)
        digit, place = divmod(place, total)
        found.append(left.pop(digit))
    return found


def _turn(targets_N: np.ndarray) -> np.ndarray:
    """int64 (N,): how many rows of its class come before each row."""
    turn_N = np.zeros(len(targets_N), np.int64)
    for label in np.unique(targets_N):
        is_of_N = targets_N == label
        turn_N[is_of_N] = np.arange(is_of_N.sum())
    return turn_N


def offer(
    net: Prompted, texts: Sequence[np.ndarray], blocks: Sequence[Sequence[int]], num_tokens: int
) -> None:
    """Gives a net the demonstrations that each row's nearest are chosen from.

    Args:
        texts: tokens of each text as it is read. num_tokens: different ones.
    """
    net.shown_ND, net.text_NT = _filled(blocks), _filled(texts)
    if net.nearness == "tfidf":
        net.idf_V = _idf(texts, num_tokens)
        net.weight_NT = torch.cat([_weights(part, net.idf_V) for part in net.text_NT.split(TOGETHER)])
    else:
        point_NF = _embedded(net)
        net.centre_F = point_NF.mean(0)
        net.point_NF = functional.normalize(point_NF - net.centre_F, dim=-1)


def _idf(texts: Sequence[np.ndarray], num_tokens: int) -> Tensor:
    """float32 (V,): 1 + log((1 + N) / (1 + texts that have the token)); of PAD nothing."""
    having_V = np.bincount(np.concatenate([np.unique(text) for text in texts]), minlength=num_tokens)
    idf_V = torch.from_numpy(1.0 + np.log((1 + len(texts)) / (1 + having_V))).float()
    idf_V[PAD] = 0.0
    return idf_V


def _weights(text_BT: Tensor, idf_V: Tensor) -> Tensor:
    """(B, T): what a place of a text adds to its cosine with one whose token weighs 1 there."""
    weight_BV = prompted.tfidf(text_BT, idf_V)
    count_BV = torch.zeros_like(weight_BV).scatter_add_(1, text_BT.long(), torch.ones(text_BT.shape))
    return (weight_BV / count_BV.clamp(min=1)).gather(1, text_BT.long())


def _filled(rows: Sequence[Sequence[int] | np.ndarray]) -> Tensor:
    """int32 (N, T): each row's numbers, then PAD."""
    length = max(1, *map(len, rows))
    return torch.tensor([[*map(int, row), *[PAD] * (length - len(row))] for row in rows], dtype=torch.int32)


@torch.no_grad()
def _embedded(net: Prompted) -> Tensor:
    """float32 (N, F) of the texts on offer, those of like length together."""
    assert net.text_NT is not None
    device = net.prefix_P.device
    length_N = (net.text_NT != PAD).sum(1)
    order_N, parts = length_N.argsort(stable=True), []
    for rows in order_N.split(TOGETHER):
        x_BT = net.text_NT[rows, : max(1, int(length_N[rows].max()))].to(device)
        parts.append(prompted.embedded(net.body, net.prefix_P[:1], x_BT).cpu())
    return torch.cat(parts)[order_N.argsort()]
