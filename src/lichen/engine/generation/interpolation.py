"""interpolation: rows of a table between a real row and a near one of its class.

Numbers lie on the way between the two, all of a row at one share of it; levels are those that most of the
near rows have. Two rows are as far apart as their numbers are in deviations; another level counts as one.
Paper: Chawla et al. 2002, "SMOTE: Synthetic Minority Over-sampling Technique", sections 4.2 and 6.1.

Shapes: N real rows, M made ones, W numbers of a row, V levels of a column, k near rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lichen.data import draws, tabular
from lichen.data.encoder import Encoder, Levels
from lichen.data.tabular import Cell, Record
from lichen.engine.generation import neighbours


def between(records: Sequence[Record], count: int, encoder: Encoder, *, k: int, seed: int) -> list[Record]:
    """So many rows between real ones of a class, which come in turns; at least two are needed.

    Args:
        encoder: of deviations and marks, as one that knows no way back is.
        k: near rows, of which one is drawn for each row that is made.
    """
    ids_N, made_M = np.arange(len(records)), np.arange(count)
    turns_N = np.argsort(draws.hashes(ids_N, seed=seed, epoch=0), kind="stable")
    some = turns_N[:count]
    near_Nk = neighbours.around(_spread(records, encoder), some, min(k, len(records) - 1))
    base_M, near_Mk = turns_N[made_M % len(records)], near_Nk[made_M % len(some)]
    uniforms_M2 = draws.uniforms(made_M, np.arange(2), seed=seed, epoch=1)
    chosen_M = near_Mk[made_M, (uniforms_M2[:, 0] * near_Mk.shape[1]).astype(np.int64)]
    columns = []
    for column in encoder.columns:
        cells = [record[column.name] for record in records]
        if isinstance(column, Levels):
            columns.append(_levels(cells, column, near_Mk))
        else:
            columns.append(_amounts(cells, column.name, base_M, chosen_M, uniforms_M2[:, 1]))
    return [dict(zip(encoder.names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _spread(records: Sequence[Record], encoder: Encoder) -> np.ndarray:
    """float32 (N, W): rows whose distances are told; two marks differ where a level does."""
    scales = [np.full(column.width, 0.5**0.5 if isinstance(column, Levels) else 1.0)
              for column in encoder.columns]  # fmt: skip
    return encoder.encode(records) * np.concatenate(scales).astype(np.float32)


def _amounts(
    cells: Sequence[Cell], name: str, base_M: np.ndarray, near_M: np.ndarray, share_M: np.ndarray
) -> list[Cell]:
    """Numbers on the way; where an end is empty, the cell of the base. Whole ones where all are."""
    numbers_N = tabular.numbers(cells, name)
    start_M, end_M = numbers_N[base_M], numbers_N[near_M]
    found_M = np.where(np.isnan(end_M), start_M, start_M + share_M * (end_M - start_M))
    is_whole = all(isinstance(cell, int | None) for cell in cells)
    found: list[Cell] = [
        None if np.isnan(one) else round(one) if is_whole else one for one in found_M.tolist()
    ]
    return found


def _levels(cells: Sequence[Cell], column: Levels, near_Mk: np.ndarray) -> list[Cell]:
    """The level that most of the near rows have; of several the one that the nearest has."""
    marks_NV = column.encode(cells)
    weights_k = 1.0 + 0.25 * 0.5 ** np.arange(near_Mk.shape[1])  # together less than another near row
    counts_MV = sum(weight * marks_NV[near_Mk[:, place]] for place, weight in enumerate(weights_k))
    return column.decode(np.asarray(counts_MV))
