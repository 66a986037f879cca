"""replay: the last rows that were lived through, in a ring, to be drawn again and again.

Paper: Schaul et al. 2016, section 3.3, for drawing by priority.

Shapes: S rows added, C rows of the ring, U updates of B rows, O numbers of an observation, A of an action
(1 of a discrete one), Q columns: the action (A), reward, discount of what comes next, weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import OptionError

BETA = 0.5
"""How far weights make up for drawing some rows more often (section 3.4)."""


def require_learning(warmup: int, num_rows: int, num_steps: int) -> None:
    """Asks of a plan that the first update comes at all.

    Args:
        num_rows: that are remembered.
        num_steps: after which the last update comes.

    Raises:
        OptionError: nothing would be learnt.
    """
    if warmup > num_rows:
        raise OptionError(f"warmup must be at most replay ({num_rows}), not {warmup}: nothing is learnt",
                          hint="a smaller warmup, or a larger replay")  # fmt: skip
    if warmup > num_steps:
        raise OptionError(
            f"warmup must be at most {num_steps}, the steps until the last update, not {warmup}: nothing is"
            " learnt", hint="a smaller warmup, or more num_steps",
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Tensors that change in place; `place` is how many rows were ever written."""

    x_C2O: Tensor
    """What was seen, and what was seen next."""
    y_CQ: Tensor
    priority_C: Tensor
    place: Tensor

    @classmethod
    def of(
        cls, num_rows: int, shape: Sequence[int], num_numbers: int = 1, *, dtype: str = "float32"
    ) -> Replay:
        """An empty one; pictures stay bytes."""
        rows_C2O = torch.zeros(num_rows, 2, *shape, dtype=getattr(torch, dtype))
        return cls(x_C2O=rows_C2O, y_CQ=torch.ones(num_rows, num_numbers + 3),
                   priority_C=torch.ones(num_rows), place=torch.zeros((), dtype=torch.int64))  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold."""
        return {"x": self.x_C2O, "y": self.y_CQ, "priority": self.priority_C, "place": self.place}

    def mark(self) -> tuple[Tensor, Tensor]:
        """What `go_back` needs; not the rows, which may be gigabytes."""
        return self.place.clone(), self.priority_C.clone()

    def go_back(self, mark: tuple[Tensor, Tensor]) -> None:
        """Takes back what was added since a mark: what comes next is written over it.

        In a full ring it has taken the places of the oldest rows, which are gone, and stays until then.
        """
        for part, was in zip((self.place, self.priority_C), mark, strict=True):
            part.copy_(was)

    @property
    def num_rows(self) -> int:
        return min(int(self.place), len(self.y_CQ))

    def add(
        self, seen_SO: np.ndarray, nexts_SO: np.ndarray, actions: np.ndarray, rewards_S: np.ndarray,
        discounts_S: np.ndarray,
    ) -> None:  # fmt: skip
        """Writes rows, if any, over the oldest ones, with the highest priority there is.

        Args:
            actions: (S,) or (S, A).
        """
        if not len(seen_SO):
            return
        fits = slice(-len(self.y_CQ), None)
        columns = [part.reshape(len(seen_SO), -1)[fits] for part in (actions, rewards_S, discounts_S)]
        told_SQ = torch.from_numpy(np.concatenate(columns, 1).astype(np.float32))
        places = torch.from_numpy((int(self.place) + np.arange(len(told_SQ))) % len(self.y_CQ))
        self.x_C2O[places] = torch.from_numpy(np.stack([seen_SO, nexts_SO], 1)[fits])
        self.y_CQ[places, :-1] = told_SQ
        self.priority_C[places] = self.priority_C[: max(1, self.num_rows)].max()
        self.place.add_(len(told_SQ))

    def drawn(
        self, draws: np.random.Generator, shape: tuple[int, int], priority: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """int64 (U, B): rows to learn from, and float32 (U, B): what each counts.

        Args:
            priority: the power of priorities that odds follow; 0: all alike.
        """
        if not priority:
            return draws.integers(0, self.num_rows, shape), np.ones(shape, np.float32)
        odds_C = self.priority_C[: self.num_rows].numpy().astype(np.float64) ** priority
        ends_C = np.cumsum(odds_C)
        chosen = np.minimum(np.searchsorted(ends_C, draws.random(shape) * ends_C[-1]), self.num_rows - 1)
        weights = (odds_C.mean() / odds_C[chosen]) ** BETA
        return chosen, (weights / weights.max()).astype(np.float32)

    def judge(self, chosen_R: np.ndarray, priority_R: Tensor) -> None:
        """Sets the priorities of rows."""
        self.priority_C[torch.from_numpy(chosen_R)] = priority_R

    def batches(self, chosen_UB: np.ndarray, weights_UB: np.ndarray) -> tuple[Tensor, Tensor]:
        """(U, B, 2, O) and (U, B, Q), or without U, of rows that were drawn, with their weights."""
        rows = torch.from_numpy(chosen_UB.reshape(-1))
        x_UB2O = self.x_C2O.index_select(0, rows).unflatten(0, chosen_UB.shape)
        y_UBQ = self.y_CQ.index_select(0, rows).unflatten(0, chosen_UB.shape)
        y_UBQ[..., -1] = torch.from_numpy(weights_UB)
        return x_UB2O, y_UBQ
