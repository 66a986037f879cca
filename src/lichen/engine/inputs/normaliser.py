"""normaliser: the mean and deviation of what is seen so far, in force from one update to the next.

They are merged as in Chan et al. 1979, and travel with the policy, as those of pictures do with a classifier.

Shapes: T steps, N copies or rows, ... the shape of one observation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

LIMIT = 10.0
"""Deviations beyond which what is seen is cut off (Andrychowicz et al. 2021, section 3.5)."""
EPSILON = 1e-8


class Normaliser(nn.Module):
    """Counts what it is shown; `settle` puts into force what was counted."""

    count: Tensor
    mean: Tensor
    spread: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(tuple(shape), dtype=torch.float64))
        self.register_buffer("spread", torch.zeros(tuple(shape), dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(tuple(shape)))
        self.register_buffer("scale", torch.ones(tuple(shape)))

    @torch.no_grad()
    def count_in(self, rows: np.ndarray) -> None:
        """Adds rows, if any, to what was seen; what is in force stays."""
        if not len(rows):
            return
        x = torch.from_numpy(rows.astype(np.float64))
        number, mean = float(len(x)), x.mean(0)
        apart, total = mean - self.mean, self.count + number
        self.spread += ((x - mean) ** 2).sum(0) + apart**2 * self.count * number / total
        self.mean += apart * number / total
        self.count.copy_(total)

    @torch.no_grad()
    def settle(self) -> None:
        """Puts into force what was counted."""
        if self.count > 1:
            self.shift.copy_(self.mean)
            self.scale.copy_((self.spread / self.count + EPSILON).sqrt())

    def normalised(self, rows: np.ndarray) -> np.ndarray:
        """float32 (N, ...): how many deviations rows are from the mean."""
        return np.clip((rows - self.shift.numpy()) / self.scale.numpy(), -LIMIT, LIMIT)


class RewardScale(Normaliser):
    """Divides rewards by the deviation of the discounted sum of those so far (Engstrom et al. 2020, 3)."""

    sums: Tensor

    def __init__(self, num_envs: int, discount: float) -> None:
        super().__init__(())
        self.discount = discount
        self.register_buffer("sums", torch.zeros(num_envs))

    def begin_anew(self) -> None:
        """Nothing is earned yet in what every copy begins now."""
        self.sums.zero_()

    def count_sums(self, rewards_TN: np.ndarray, ended_TN: np.ndarray, is_real_TN: np.ndarray) -> None:
        """Adds rewards of real steps to what was earned; the deviation is in force at once."""
        sums_N, found_TN = self.sums.numpy(), np.empty_like(rewards_TN)
        for step, (rewards_N, ended_N) in enumerate(zip(rewards_TN, ended_TN, strict=True)):
            found_TN[step] = sums_N * self.discount + rewards_N
            sums_N[:] = np.where(ended_N, 0.0, found_TN[step])
        self.count_in(found_TN[is_real_TN])
        self.settle()
