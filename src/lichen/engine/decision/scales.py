"""scales: the deviations in which an agent sees and earns while it learns.

Rows of a replay are kept as they were and measured when they are drawn, so that old and new ones are alike.
Pictures stay bytes: the shares of white that nets take need no deviations.

Shapes: T steps, N copies, O numbers of an observation, U updates of B rows, Q columns of a replay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from lichen.core.environment import Environment
from lichen.engine.inputs.normaliser import LIMIT, Normaliser, RewardScale
from lichen.engine.rollout import Rollout, flat


class Scales(nn.Module):
    """The deviations in which an agent sees and earns. Rows that were kept are measured anew when drawn."""

    def __init__(self, environment: Environment, num_envs: int, discount: float) -> None:
        super().__init__()
        told = environment.observation
        self.seen = Normaliser(told["shape"]) if told["dtype"] != "uint8" else None
        self.earned = RewardScale(num_envs, discount)

    def count_in(self, rollout: Rollout) -> None:
        """Adds what happened; how things look changes when it is settled."""
        if self.seen:
            self.seen.count_in(flat(rollout.seen)[rollout.real()])
        self.earned.count_sums(rollout.rewards, rollout.ended, rollout.is_real)

    def settle(self) -> None:
        """Puts into force what was counted of what is seen."""
        if self.seen:
            self.seen.settle()

    def normalised(self, seen: np.ndarray) -> np.ndarray:
        """What is seen in deviations; pictures as they are."""
        return self.seen.normalised(seen) if self.seen else seen

    def measured(self, rollout: Rollout) -> Rollout:
        """The same in deviations."""
        return replace(rollout, seen=self.normalised(rollout.seen), nexts=self.normalised(rollout.nexts),
                       rewards=rollout.rewards / self.earned.scale.numpy())  # fmt: skip

    def measured_rows(self, x_UB2O: Tensor, y_UBQ: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of a replay in deviations; their rewards are changed in place."""
        y_UBQ[..., -3] /= self.earned.scale
        if not self.seen:
            return x_UB2O, y_UBQ
        return ((x_UB2O - self.seen.shift) / self.seen.scale).clamp_(-LIMIT, LIMIT), y_UBQ
