"""likeness: how like the rows of one table those of another are: column by column, and pair by pair.

The marginal distance of a column of numbers is that of Kolmogorov and Smirnov, of a column of levels the
total variation: both are the most that the shares of any span, or any set of levels, differ by. Pairs of
numbers are compared by their correlation.

Shapes: N and M rows, W numbers of a row as an encoder of deviations and marks gives them.
"""

from __future__ import annotations

import numpy as np

from lichen.data.encoder import Amount, Encoder
from lichen.engine.generation import fidelity
from lichen.engine.generation.fidelity import Rows
from lichen.engine.scores.metrics import Figure


def figures(real_NW: np.ndarray, made_MW: np.ndarray, encoder: Encoder) -> dict[str, Figure]:
    """`marginal_distance`, a mean over columns, and `correlation_distance`, over pairs, with intervals."""

    def measured(real: Rows, made: Rows) -> dict[str, float]:
        pair = real_NW[real], made_MW[made]
        return {
            "marginal_distance": float(np.mean(list(marginals(*pair, encoder).values()))),
            "correlation_distance": correlation_distance(*pair),
        }

    return fidelity.jackknifed(measured, len(real_NW), len(made_MW))


def marginals(real_NW: np.ndarray, made_MW: np.ndarray, encoder: Encoder) -> dict[str, float]:
    """The distance of each column, from 0 to 1."""
    found = {}
    for column, start, end in zip(encoder.columns, encoder.starts, encoder.starts[1:]):
        real, made = real_NW[:, start:end], made_MW[:, start:end]
        if isinstance(column, Amount):
            found[column.name] = max(steepest(real[:, 0], made[:, 0]), varied(real[:, 1:], made[:, 1:]) * 2)
        else:
            found[column.name] = varied(real, made)
    return found


def steepest(real_N: np.ndarray, made_M: np.ndarray) -> float:
    """The most that the shares of numbers up to any one differ by."""
    every = np.sort(np.concatenate([real_N, made_M]))
    shares = [np.searchsorted(np.sort(side), every, "right") / len(side) for side in (real_N, made_M)]
    return float(np.abs(shares[0] - shares[1]).max())


def varied(real_NV: np.ndarray, made_MV: np.ndarray) -> float:
    """Half the sum of what the shares of marks differ by."""
    return float(0.5 * np.abs(real_NV.mean(0, dtype=np.float64) - made_MV.mean(0, dtype=np.float64)).sum())


def correlation_distance(real_NW: np.ndarray, made_MW: np.ndarray) -> float:
    """The mean difference of the correlations of two numbers; one that never changes has none with any."""
    if real_NW.shape[1] < 2:
        return 0.0
    above = np.triu_indices(real_NW.shape[1], 1)
    return float(np.abs(_correlations(real_NW) - _correlations(made_MW))[above].mean())


def _correlations(x_NW: np.ndarray) -> np.ndarray:
    off_NW = x_NW.astype(np.float64) - x_NW.mean(0, dtype=np.float64)
    length_W = np.sqrt((off_NW**2).sum(0))
    unit_NW = np.divide(off_NW, length_W, out=np.zeros_like(off_NW), where=length_W > 1e-9)
    return unit_NW.T @ unit_NW
