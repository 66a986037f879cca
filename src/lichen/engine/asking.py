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


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Train rows as numbers (N, W) and their classes (N,), with the columns of levels by their places."""

    x_NW: Tensor
    y_N: Tensor
    num_classes: int
    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, x_NW: Tensor, y_N: Tensor, encoder: Encoder, num_classes: int) -> Table:
        ends = zip(encoder.columns, encoder.starts, encoder.starts[1:])
        places = tuple((start, end) for column, start, end in ends if isinstance(column, Levels))
        return cls(x_NW, y_N, num_classes, places)

    @property
    def levels(self) -> list[int]:
        return [end - start for start, end in self.places]

    def number(self, column: int) -> Tensor:
        """int64 (N,): the level of each row in a column; after the last the class."""
        if column == len(self.places):
            return self.y_N
        start, end = self.places[column]
        return self.x_NW[:, start:end].argmax(1)

    def shares(self) -> Tensor:
        """float32 (K, V): how many rows of each class have each level; a class without rows has all alike."""
        of_class_NK = functional.one_hot(self.y_N, self.num_classes).float()
        marks = [self.x_NW[:, start:end] for start, end in self.places]
        return of_class_NK.T @ torch.cat(marks, 1) + 1e-6 if marks else torch.ones(self.num_classes, 0)

    def drawn(self, count: int) -> Asked:
        """Rows by draws of torch's generator."""
        column_B = torch.randint(len(self.places) + 1, (count,))
        row_B, marks = torch.zeros(count, dtype=torch.int64), []
        for column, size in enumerate([*self.levels, self.num_classes]):
            is_asked_B = column_B == column
            number_N = self.number(column)
            level_B, row_B[is_asked_B] = _rows(number_N, size, int(is_asked_B.sum()))
            if column < len(self.places):
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


def _rows(number_N: Tensor, size: int, count: int) -> tuple[Tensor, Tensor]:
    """Levels by the logarithm of how often they are there, and for each a row that has it."""
    counts_V = torch.bincount(number_N, minlength=size)
    if not count:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    level_B = torch.multinomial(torch.log1p(counts_V.float()), count, replacement=True)
    order_N, starts_V = torch.argsort(number_N, stable=True), counts_V.cumsum(0) - counts_V
    within_B = (torch.rand(count, dtype=torch.float64) * counts_V[level_B]).long()
    return level_B, order_N[starts_V[level_B] + within_B]
