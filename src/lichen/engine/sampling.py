"""sampling: which token comes next, drawn from what a net says of all.

Papers: Fan et al. 2018 (top k); Holtzman et al. 2020 (top p); Nguyen et al. 2024 (min p).
Shapes: B rows under way, V different tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import OptionError
from lichen.data import draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn.

    Args:
        temperature: above 1 unlikely tokens come oftener; 0: always the likeliest.
        top_k: of so many likeliest alone. top_p: of the fewest that have this share of the probability.
        min_p: of those that are at least this share as likely as the likeliest.

    Raises:
        OptionError: a figure is out of its range.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.temperature <= 100, "temperature", "from 0 to 100", self.temperature)
        require(self.top_k is None or self.top_k >= 1, "top_k", "1 at least", self.top_k)
        for name in ("top_p", "min_p"):
            share = getattr(self, name)
            require(share is None or 0 < share <= 1, name, "above 0 and at most 1", share)

    def chances(self, logits_BV: Tensor) -> Tensor:
        """float64 (B, V): the probability of each token."""
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits_BV.argmax(-1), logits_BV.shape[-1]).double()
        chance_BV = torch.softmax(logits_BV.double() / self.temperature, -1)
        if self.top_k is not None and self.top_k < chance_BV.shape[-1]:
            chance_BV = _only(chance_BV, chance_BV.topk(self.top_k, -1).values[:, -1:])
        if self.top_p is not None:
            sorted_BV = chance_BV.sort(-1, descending=True).values
            is_in_BV = sorted_BV.cumsum(-1) - sorted_BV < self.top_p
            chance_BV = _only(chance_BV, sorted_BV.where(is_in_BV, 1.0).amin(-1, keepdim=True))
        if self.min_p is not None:
            chance_BV = _only(chance_BV, self.min_p * chance_BV.amax(-1, keepdim=True))
        return chance_BV

    def draw(self, logits_BV: Tensor, rows: Sequence[int], step: int) -> Tensor:
        """int64 (B,): the next token of each row.

        Args:
            rows: numbers of their prompts. step: tokens that were drawn before.
        """
        if self.temperature == 0:
            return logits_BV.argmax(-1)
        uniform_B = draws.uniforms(
            np.array(rows, np.int64), np.zeros(1, np.int64), seed=self.seed, epoch=step
        )
        above_BV = self.chances(logits_BV).cumsum(-1)
        goal_B1 = torch.from_numpy(uniform_B).to(above_BV.device) * above_BV[:, -1:]
        return torch.searchsorted(above_BV, goal_B1, right=True).clamp(max=above_BV.shape[-1] - 1)[:, 0]


def require(is_so: bool, name: str, wanted: str, value: Any) -> None:
    if not is_so:
        raise OptionError(f"`{name}` must be {wanted}, not {value}")


def _only(chance_BV: Tensor, least_B1: Tensor) -> Tensor:
    """Chances of tokens that are likely enough, which sum to 1 again."""
    kept_BV = chance_BV.where(chance_BV >= least_B1, 0.0)
    return kept_BV / kept_BV.sum(-1, keepdim=True)
