"""encoder: the columns of a table as numbers that a net takes, fitted to train rows; it lives in a Model.

A column of numbers becomes its deviations from the mean, and a mark of whether a cell is empty where train
rows have empty ones. A column of words, or of few whole numbers, becomes a mark for each of them; a word that
train rows do not have is none of these.

Shapes: N rows, W numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lichen.core.digest import digest_json
from lichen.core.errors import DataError
from lichen.data import modes, tabular
from lichen.data.modes import Modes, Span
from lichen.data.numbered import Numbered
from lichen.data.tabular import Cell, Record, Tabular, numbers

FEW = 12
"""Whole numbers of a column that are taken for kinds of things rather than amounts."""
MOST_LEVELS = 256
"""Words of a column; of one with more each tells rows apart, not what they are like."""
FARTHEST = 10.0
"""Deviations beyond which a number is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A column of numbers."""

    name: str
    mean: float
    std: float
    has_empty: bool
    kind: str = "amount"

    @property
    def width(self) -> int:
        return 1 + self.has_empty

    def encode(self, cells: Sequence[Cell]) -> np.ndarray:
        """float32 (N, W)."""
        numbers_N = numbers(cells, self.name)
        is_empty_N = np.isnan(numbers_N)
        far_N = np.clip(
            (np.where(is_empty_N, self.mean, numbers_N) - self.mean) / self.std, -FARTHEST, FARTHEST
        )
        return np.stack([far_N, is_empty_N] if self.has_empty else [far_N], 1).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """A column of few different cells."""

    name: str
    levels: list[Cell]
    kind: str = "levels"

    @property
    def width(self) -> int:
        return len(self.levels)

    def encode(self, cells: Sequence[Cell]) -> np.ndarray:
        """float32 (N, W)."""
        place = {level: number for number, level in enumerate(self.levels)}
        places_N = np.array([place.get(cell, -1) for cell in cells])
        return (places_N[:, None] == np.arange(self.width)).astype(np.float32)

    @property
    def spans(self) -> list[Span]:
        """What the numbers are, as a net that makes rows must know."""
        return [Span("choice", self.width)]

    def decode(self, x_NW: np.ndarray) -> list[Cell]:
        """The likeliest level of each row."""
        return [self.levels[place] for place in x_NW.argmax(1).tolist()]


Column = Amount | Levels | Modes
KINDS: dict[str, type[Amount] | type[Levels] | type[Modes]] = {
    "amount": Amount, "levels": Levels, "modes": Modes,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoder:
    """Columns in the order in which their numbers stand."""

    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        return sum(column.width for column in self.columns)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def encode(self, records: Sequence[Record]) -> np.ndarray:
        """float32 (N, W)."""
        parts = [column.encode([record[column.name] for record in records]) for column in self.columns]
        return np.concatenate(parts, 1)

    @property
    def starts(self) -> list[int]:
        """Where the numbers of each column begin, and where the last end."""
        return np.cumsum([0, *(column.width for column in self.columns)]).tolist()

    def decode(self, x_NW: np.ndarray) -> list[Record]:
        """Rows of numbers as cells; of columns that know the way back."""
        parts = np.split(x_NW, self.starts[1:-1], 1)
        cells = [column.decode(part) for column, part in zip(self.columns, parts, strict=True)]  # type: ignore[union-attr]
        return [dict(zip(self.names, row, strict=True)) for row in zip(*cells, strict=True)]

    def asset(self) -> list[dict[str, Any]]:
        """What a Model keeps."""
        return [asdict(column) for column in self.columns]


def of(asset: Sequence[Mapping[str, Any]]) -> Encoder:
    """The encoder that a Model keeps.

    Raises:
        DataError: a column is of no kind, or does not say what one of its kind must.
    """
    try:
        return Encoder(tuple(KINDS[one["kind"]](**one) for one in asset))
    except (KeyError, TypeError) as error:
        raise DataError(f"the encoder of the model is damaged: {error}") from None


def fitted(rows: Tabular, *, is_way_back: bool = False) -> Encoder:
    """The encoder of train rows.

    Args:
        is_way_back: numbers are told by their modes, so that rows of numbers can become cells again.

    Raises:
        DataError: a column has too many words.
    """
    return fitted_to(rows.records, is_way_back=is_way_back)


def fitted_to(records: Sequence[Record], *, is_way_back: bool = False) -> Encoder:
    """The same of some rows."""
    return Encoder(
        tuple(_column(name, [record[name] for record in records], is_way_back) for name in records[0])
    )


def _column(name: str, cells: Sequence[Cell], is_way_back: bool) -> Column:
    found = set(cells)
    if is_amount(found) and is_way_back:
        return modes.fitted(name, cells)
    if is_amount(found):
        numbers_N = numbers(cells, name)
        known = numbers_N[~np.isnan(numbers_N)]
        return Amount(name=name, mean=float(known.mean()), std=max(float(known.std()), 1e-12),
                      has_empty=bool(len(known) < len(numbers_N)))  # fmt: skip
    if len(found) > MOST_LEVELS:
        raise DataError(f"a column may have {MOST_LEVELS} different words; `{name}` has {len(found)}",
                        hint=f'leave it out: features=["*", "-{name}"]')  # fmt: skip
    return Levels(name=name, levels=in_order(found))


def is_amount(found: set[Cell]) -> bool:
    """Whether the different cells of a column are amounts: numbers alone, some with a point or many."""
    told = found - {None}
    if not told or any(isinstance(cell, str) for cell in told):
        return False
    return len(told) > FEW or any(isinstance(cell, float) for cell in told)


def in_order(found: set[Cell]) -> list[Cell]:
    """Numbers by size, then words, then the empty cell."""
    return sorted(
        found, key=lambda cell: (cell is None, isinstance(cell, str), cell if cell is not None else 0)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Encoded(Numbered):
    """One split of a table through an encoder: `length` numbers per row."""

    rows: Tabular
    encoder: Encoder
    length: int

    @property
    def targets(self) -> np.ndarray:
        return self.rows.targets

    @property
    def ids(self) -> np.ndarray:
        return self.rows.ids

    @property
    def num_rows(self) -> int:
        return self.rows.num_rows

    @property
    def num_numbers(self) -> int:
        return self.length

    @property
    def reading(self) -> str:
        return digest_json(self.encoder.asset())

    def made(self, chosen: np.ndarray) -> np.ndarray:
        """float32 (B, W)."""
        return self.encoder.encode(self.encoded(chosen))

    def encoded(self, indices: Any) -> list[Record]:
        """Some rows as a person hands them in."""
        return [tabular.record(text.encode()) for text in self.rows.batch(indices)]

    def describe(self, row: int) -> str:
        """The file and place of a row, as errors show it."""
        return self.rows.describe(row)
