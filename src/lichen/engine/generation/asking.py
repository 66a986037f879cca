"""asking: which real rows a step learns from, so that rare levels come often enough to be learnt.

A column of levels is drawn, or the class; of it a level, by the logarithm of how often it is there; then a
row that has it. Paper: Xu et al. 2019 (CTGAN), section 4.3, training by sampling.

Shapes: N train rows, B rows asked for, W numbers of a row, S columns of levels, V levels of all, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lichen.data.encoder import Encoder, Levels


class Asked(NamedTuple):
    """Real rows (B, W), their classes (B, K), the marks of what was drawn (B, V), and its column (B,)."""

    real: Tensor
    classes: Tensor
    marks: Tensor
    column: Tensor


class Sorted(NamedTuple):
    """The rows of a column level by level (N,): how many each has, and where they begin (V,)."""

    order_N: Tensor
    counts_V: Tensor
    starts_V: Tensor

    @classmethod
    def of(cls, number_N: Tensor, size: int) -> Sorted:
        counts_V = torch.bincount(number_N, minlength=size)
        return cls(torch.argsort(number_N, stable=True), counts_V, counts_V.cumsum(0) - counts_V)

    def drawn(self, count: int) -> tuple[Tensor, Tensor]:
        """Levels by the logarithm of how often they are there, and for each a row that has it."""
        if not count:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
        level_B = torch.multinomial(torch.log1p(self.counts_V.float()), count, replacement=True)
        within_B = (torch.rand(count, dtype=torch.float64) * self.counts_V[level_B]).long()
        return level_B, self.order_N[self.starts_V[level_B] + within_B]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Train rows as numbers (N, W) and their classes (N,), with the columns of levels by their places.

    Args:
        by_level: of each column of levels, and after the last of the class.
    """

    x_NW: Tensor
    y_N: Tensor
    num_classes: int
    places: tuple[tuple[int, int], ...]
    by_level: tuple[Sorted, ...]

    @classmethod
    def of(cls, x_NW: Tensor, y_N: Tensor, encoder: Encoder, num_classes: int) -> Table:
        ends = zip(encoder.columns, encoder.starts, encoder.starts[1:])
        places = tuple((start, end) for column, start, end in ends if isinstance(column, Levels))
        levels = [Sorted.of(x_NW[:, start:end].argmax(1), end - start) for start, end in places]
        return cls(x_NW, y_N, num_classes, places, (*levels, Sorted.of(y_N, num_classes)))

    @property
    def levels(self) -> list[int]:
        return [end - start for start, end in self.places]

    def shares(self) -> Tensor:
        """float32 (K, V): how many rows of each class have each level; a class without rows has all alike."""
        of_class_NK = functional.one_hot(self.y_N, self.num_classes).float()
        marks = [self.x_NW[:, start:end] for start, end in self.places]
        return of_class_NK.T @ torch.cat(marks, 1) + 1e-6 if marks else torch.ones(self.num_classes, 0)

    def drawn(self, count: int) -> Asked:
        """Rows by draws of torch's generator."""
        column_B = torch.randint(len(self.places) + 1, (count,))
        row_B, marks = torch.zeros(count, dtype=torch.int64), []
        for column, held in enumerate(self.by_level):
            is_asked_B = column_B == column
            level_B, row_B[is_asked_B] = held.drawn(int(is_asked_B.sum()))
            if column < len(self.places):
                size = self.levels[column]
                marks_BV = torch.zeros(count, size)
                marks_BV[is_asked_B] = functional.one_hot(level_B, size).float()
                marks.append(marks_BV)
        told = torch.cat(marks, 1) if marks else torch.zeros(count, 0)
        return Asked(
            self.x_NW[row_B], functional.one_hot(self.y_N[row_B], self.num_classes).float(), told, column_B
        )

    def missed(self, raw_BW: Tensor, asked: Asked) -> Tensor:
        """The cross entropy of made rows with the levels that they were to have, a mean over all rows."""
        loss, before = raw_BW.new_zeros(()), 0
        for column, (start, end) in enumerate(self.places):
            is_asked_B = asked.column == column
            level_B = asked.marks[is_asked_B, before : before + end - start].argmax(1)
            loss = loss + functional.cross_entropy(raw_BW[is_asked_B, start:end], level_B, reduction="sum")
            before += end - start
        return loss / len(raw_BW)
