"""prompted: a language model that tells the kind of a text by which label's words it goes on with.

It reads an instruction, demonstrations, the text and what stands before a label, and scores each label by
the log-probabilities of its tokens. What all rows begin with is read once, and its keys and values are kept;
labels of several tokens are read side by side, none seeing another; logits are made where a label is told
and nowhere else. The head adds what calibration found, and may be trained.

Papers: Brown et al. 2020, section 2.4 (label words); Zhao et al. 2021 (contextual calibration: W = diag(p)^-1
times probabilities is -log p plus their logarithms); Liu et al. 2021 (demonstrations near the row, the
nearest last).
Shapes: B rows, T tokens of a text, P of what stands before it, C columns read after that, R more tokens of
labels, K labels, N demonstrations to choose from, D tokens of one, M shown, V different tokens, F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core import find
from lichen.nets import gpt, hf  # noqa: F401 - whatever the body is, its code is part of this net's

TAKES = "tokens"
PAD = 0
AT_ONCE = 16_384
"""Tokens that rows read together have at most, those kept from before among them."""
FARTHEST = -2.0
"""Below every cosine."""


class Prompted(nn.Module):
    """A body that tells tokens, and what it is asked.

    Args:
        prefix: tokens that every row begins with. suffix: those between its text and its label.
        labels: the tokens of each label.
        is_mean: labels score the mean of their tokens' log-probabilities, not the sum.
        num_near: demonstrations shown to each row, the nearest of those to choose from.
        nearness: by `tfidf` or `embedding`.
        neutral: texts without content; what is said of them is taken off, with each row's demonstrations.
    """

    body: Any
    prefix_P: Tensor
    suffix_S: Tensor
    first_K: Tensor
    length_K: Tensor
    label_R: Tensor
    step_R: Tensor
    read_R: Tensor
    told_R: Tensor
    together_RR: Tensor
    shown_ND: Tensor | None
    text_NT: Tensor | None
    weight_NT: Tensor | None
    idf_V: Tensor | None
    point_NF: Tensor | None
    centre_F: Tensor | None

    def __init__(
        self, body: nn.Module, *, prefix: Sequence[int], suffix: Sequence[int],
        labels: Sequence[Sequence[int]], is_mean: bool, num_near: int, nearness: str,
        neutral: Sequence[Sequence[int]],
    ) -> None:  # fmt: skip
        super().__init__()
        self.body = body
        self.is_mean, self.num_near, self.nearness, self.neutral = is_mean, num_near, nearness, neutral
        self.head = nn.Linear(len(labels), len(labels))
        nn.init.eye_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        tails = [(k, step) for k, label in enumerate(labels) for step in range(1, len(label))]
        steps_R = torch.tensor([step for _, step in tails], dtype=torch.long)
        of_R = torch.tensor([k for k, _ in tails], dtype=torch.long)
        numbers = {
            "prefix_P": torch.tensor(prefix, dtype=torch.int32),
            "suffix_S": torch.tensor(suffix, dtype=torch.int32),
            "first_K": torch.tensor([label[0] for label in labels]),
            "length_K": torch.tensor([len(label) for label in labels]),
            "label_R": of_R,
            "step_R": steps_R,
            "read_R": torch.tensor([labels[k][step - 1] for k, step in tails], dtype=torch.int32),
            "told_R": torch.tensor([labels[k][step] for k, step in tails], dtype=torch.long),
            "together_RR": (of_R[:, None] == of_R) & (steps_R[:, None] >= steps_R),
        }
        for name, tensor in numbers.items():
            self.register_buffer(name, tensor, persistent=False)
        # What demonstrations are chosen from; tensors only where they are, read with the weights.
        for name in ("shown_ND", "text_NT", "weight_NT", "idf_V", "point_NF", "centre_F"):
            self.register_buffer(name, None)
        self.kept: tuple[Any, Any] | None = None

    def features(self, x_BT: Tensor) -> Tensor:
        """(B, K): how likely each label's words are after each text, as logarithms."""
        if torch.compiler.is_exporting():
            return self._told(x_BT)
        length_B = (x_BT != PAD).sum(1)
        order_B = length_B.argsort(stable=True)
        parts, start = [], 0
        while start < len(order_B):
            rows = order_B[start : start + self._room(length_B[order_B[start:]])]
            parts.append(self._told(x_BT[rows, : max(1, int(length_B[rows[-1]]))]))
            start += len(rows)
        scores_BK = torch.cat(parts) if parts else self.head.weight.new_zeros(0, len(self.first_K))
        return scores_BK[order_B.argsort()]

    def forward(self, x_BT: Tensor) -> Tensor:
        """(B, K) of texts, PAD behind each."""
        return self.head(self.features(x_BT))

    def _room(self, length_B: Tensor) -> int:
        """How many of the next rows, by length, are read together."""
        before = len(self.prefix_P) + self.num_near * (0 if self.shown_ND is None else self.shown_ND.shape[1])
        each_B = before + length_B + len(self.suffix_S) + len(self.read_R)
        return max(1, int((each_B * torch.arange(1, len(each_B) + 1, device=each_B.device) <= AT_ONCE).sum()))

    def _told(self, x_BT: Tensor) -> Tensor:
        """(B, K) of rows that are read together."""
        if not self.num_near:
            cache = self._prefix().shared(x_BT.shape[0], len(self.prefix_P) + self._width(x_BT.shape[1]))
            return self._scores(cache, self.prefix_P[None] != PAD, x_BT)
        before_BP = self._before(x_BT)
        longest = max([x_BT.shape[1], *map(len, self.neutral)])
        cache = self._read(before_BP, before_BP.shape[1] + self._width(longest))
        scores_BK = self._scores(cache, before_BP != PAD, x_BT)
        if not self.neutral:
            return scores_BK
        blank_NBK = [
            self._scores(cache, before_BP != PAD, x_BT.new_tensor(text).expand(x_BT.shape[0], -1))
            for text in self.neutral
        ]
        return scores_BK - mean_bias(torch.stack(blank_NBK))

    def _width(self, length: int) -> int:
        return length + len(self.suffix_S) + len(self.read_R)

    def _prefix(self) -> Any:
        """What all rows begin with, as read; kept until a weight changes, or always anew while learning."""
        if torch.compiler.is_exporting() and self.kept is not None:
            return self.kept[1]
        if torch.is_grad_enabled() and self.training:
            return self._read(self.prefix_P[None], len(self.prefix_P))
        mark = [(weight.data_ptr(), weight._version) for weight in self.body.parameters()]
        if self.kept is None or self.kept[0] != mark:
            with torch.no_grad():
                self.kept = mark, self._read(self.prefix_P[None], len(self.prefix_P))
        return self.kept[1]

    def _read(self, before_BP: Tensor, room: int) -> Any:
        """The cache of what stands before texts; PAD in it is nothing."""
        cache = self.body.cache(room)
        is_there_BP = before_BP != PAD
        length = before_BP.shape[1]
        seen_BPP = is_there_BP[:, None] & torch.ones(length, length, device=before_BP.device).tril().bool()
        seen_BPP = seen_BPP | torch.eye(length, device=before_BP.device).bool()
        place_BP = (is_there_BP.cumsum(1) - 1).clamp(min=0)
        last = torch.tensor([length - 1], device=before_BP.device)
        self.body.logits_at(last, before_BP, cache, place_BP, seen_BPP)
        return cache

    def _scores(self, cache: Any, is_there_BP: Tensor, x_BT: Tensor) -> Tensor:
        """(B, K) of texts after what a cache holds, which it holds again afterwards."""
        device, (rows, length), held = x_BT.device, x_BT.shape, cache.length
        suffix, more = len(self.suffix_S), len(self.read_R)
        begun_B1, length_B1 = is_there_BP.sum(1, keepdim=True), (x_BT != PAD).sum(1, keepdim=True)
        read_BC = torch.cat([x_BT, self.suffix_S.expand(rows, -1), self.read_R.expand(rows, -1)], 1)
        text_T, suffix_S = torch.arange(length, device=device), torch.arange(suffix, device=device)
        within_C = torch.cat([text_T, suffix_S, suffix - 1 + self.step_R])
        is_text_C = torch.arange(length + suffix + more, device=device) < length
        place_BC = begun_B1 + within_C + torch.where(is_text_C, 0, length_B1)
        seen_BCS = torch.cat([
            is_there_BP[:, None].expand(rows, length + suffix + more, -1), self._seen(length, length_B1)
        ], 2)  # fmt: skip
        column_R = length + suffix - 1 + torch.arange(1 + more, device=device)
        logits_BRV = self.body.logits_at(column_R, read_BC, cache, place_BC, seen_BCS)
        cache.cut(held)
        told_BRV = torch.log_softmax(logits_BRV.float(), -1)
        scores_BK = told_BRV[:, 0, self.first_K]
        each_BR = told_BRV[:, 1:].gather(2, self.told_R[None, :, None].expand(rows, -1, 1))[..., 0]
        scores_BK = scores_BK.index_add(1, self.label_R, each_BR)
        return scores_BK / self.length_K if self.is_mean else scores_BK

    def _seen(self, length: int, length_B1: Tensor) -> Tensor:
        """bool (B, C, C): a text sees itself up to each token, a label's tokens those before them alone."""
        device, suffix, more = length_B1.device, len(self.suffix_S), len(self.read_R)
        plain = length + suffix
        seen_CC = torch.ones(plain + more, plain + more, device=device).tril().bool()
        seen_CC[plain:, plain:] = self.together_RR
        column_C = torch.arange(plain + more, device=device)
        is_there_BC = (column_C >= length) | (column_C < length_B1)
        return (is_there_BC[:, None] & seen_CC) | torch.eye(plain + more, device=device).bool()

    def _before(self, x_BT: Tensor) -> Tensor:
        """int32 (B, P): what all begin with and the demonstrations nearest to each row, the nearest last."""
        assert self.shown_ND is not None
        near_BN = self._nearness(x_BT)
        near_BM, nearest_BM = near_BN.topk(min(self.num_near, near_BN.shape[1]), 1)
        shown_BMD = self.shown_ND[nearest_BM].masked_fill(near_BM[..., None] == FARTHEST, PAD)
        shown_BP = shown_BMD.flip(1).flatten(1)
        before_BP = torch.cat([self.prefix_P.expand(x_BT.shape[0], -1), shown_BP], 1)
        order_BP = (before_BP == PAD).to(torch.int8).argsort(dim=1, stable=True)
        longest = int((before_BP != PAD).sum(1).max())
        return before_BP.gather(1, order_BP)[:, :longest]

    def _nearness(self, x_BT: Tensor) -> Tensor:
        """(B, N): the cosine of each row with each demonstration; a row is never shown to itself."""
        assert self.text_NT is not None
        if self.nearness == "tfidf":
            assert self.idf_V is not None and self.weight_NT is not None
            weight_BV = tfidf(x_BT, self.idf_V)
            near_BN = (weight_BV[:, self.text_NT.long()] * self.weight_NT).sum(-1)
        else:
            assert self.centre_F is not None and self.point_NF is not None
            point_BF = functional.normalize(
                embedded(self.body, self.prefix_P[:1], x_BT) - self.centre_F, dim=-1
            )
            near_BN = point_BF @ self.point_NF.T
        width = max(x_BT.shape[1], self.text_NT.shape[1])
        own_BT, other_NT = (functional.pad(x, (0, width - x.shape[1])) for x in (x_BT, self.text_NT))
        return near_BN.masked_fill((own_BT[:, None] == other_NT).all(-1), FARTHEST)


def mean_bias(blank_NBK: Tensor) -> Tensor:
    """(B, K): the logarithm of what labels get of N texts without content, in the mean."""
    return torch.log_softmax(blank_NBK, -1).logsumexp(0) - math.log(len(blank_NBK))


def tfidf(x_BT: Tensor, idf_V: Tensor) -> Tensor:
    """(B, V): how often each row has each token, rare ones counting more; of length 1, PAD of none."""
    weight_BV = torch.zeros(x_BT.shape[0], len(idf_V), device=x_BT.device)
    weight_BV.scatter_add_(1, x_BT.long(), idf_V[x_BT.long()])
    return functional.normalize(weight_BV, dim=-1)


def embedded(body: Any, begin_1: Tensor, x_BT: Tensor) -> Tensor:
    """(B, F): the mean of the features of a text's tokens, read after the token that begins documents."""
    whole_BT = torch.cat([begin_1.expand(x_BT.shape[0], -1), x_BT], 1)
    found_BTF = body.features(whole_BT)[:, 1:].float()
    is_there_BT1 = (x_BT != PAD)[..., None]
    return (found_BTF * is_there_BT1).sum(1) / is_there_BT1.sum(1).clamp(min=1)


def build(
    *,
    in_shape: tuple[int, int],
    num_outputs: int = 2,
    body: str = "gpt",
    body_options: Mapping[str, Any] | None = None,
    prefix: Sequence[int] = (1,),
    suffix: Sequence[int] = (2,),
    labels: Sequence[Sequence[int]] | None = None,
    is_mean: bool = False,
    num_near: int = 0,
    nearness: str = "tfidf",
    neutral: Sequence[Sequence[int]] = (),
) -> nn.Module:
    """A body with fresh weights, asked as it is told.

    Args:
        in_shape: (T, V), how many tokens a text has and how many different ones there are.
        body: the net that tells tokens. body_options: what its builder takes, its own shapes among them.
        labels: None: the first tokens that stand for something, one each.
    """
    given = {"in_shape": in_shape, "num_outputs": 0, **(body_options or {})}
    given["in_shape"] = tuple(given["in_shape"])
    file, _, variant = body.partition("/")
    made = find.load(f"{find.net_module(file)}:build")(**given, **({"variant": variant} if variant else {}))
    return Prompted(
        made, prefix=prefix, suffix=suffix, labels=labels or [[3 + k] for k in range(num_outputs)],
        is_mean=is_mean, num_near=num_near, nearness=nearness, neutral=neutral,
    )  # fmt: skip
