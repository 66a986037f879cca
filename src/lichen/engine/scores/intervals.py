"""intervals: how sure a mean of paired differences is, over seeds and rows at once.

The variance is that of the seeds' means plus that of the rows' means (by bootstrap); the interval is
Student's t with Satterthwaite's degrees of freedom (Satterthwaite 1946), so few seeds widen it honestly.

Shapes: S seeds, N rows.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, exp, lgamma, pi, sqrt, tan
from statistics import NormalDist

import numpy as np

NUM_RESAMPLES = 1000


def of(differences_SN: np.ndarray, level: float) -> tuple[float, float, float]:
    """Mean and interval of paired differences.

    Args:
        differences_SN: per seed S and row N.
        level: coverage, from 0 to 1.

    Returns:
        Estimate, low, high.
    """
    num_seeds, num_rows = differences_SN.shape
    estimate = float(differences_SN.mean())
    means_N = differences_SN.mean(axis=0)
    generator = np.random.Generator(np.random.Philox(0))
    picks = generator.integers(0, num_rows, size=(NUM_RESAMPLES, num_rows))
    of_rows = float(means_N[picks].mean(axis=1).var()) if num_rows > 1 else 0.0
    of_seeds = float(differences_SN.mean(axis=1).var(ddof=1)) / num_seeds if num_seeds > 1 else 0.0
    total = of_rows + of_seeds
    if total == 0.0:
        return estimate, estimate, estimate
    freedom = total**2 / (
        (of_seeds**2 / (num_seeds - 1) if num_seeds > 1 else 0.0) + of_rows**2 / max(num_rows - 1, 1)
    )
    reach = student_quantile(0.5 + level / 2, freedom) * total**0.5
    return estimate, estimate - reach, estimate + reach


def paired(
    loss_N: np.ndarray, level: float = 0.95, *, outcome_N: np.ndarray | None = None
) -> tuple[float, float]:
    """The interval of a mean of paired differences over rows of one pair of values: Student's t.

    It is never narrower than what N rows can hide: a share p of others stays unseen with probability
    (1 - p)^N, which is 1 - level at about 3 / N. Such a row is as far from the mean as the farthest one seen
    and, where rows count answers, a whole answer at least: that few of them differ says nothing of how much
    one more would.

    Args:
        outcome_N: of one of the two, which tells a measure from a count; None: the differences alone do.
    """
    centre, count = float(loss_N.mean()), len(loss_N)
    spread = float(loss_N.std(ddof=1)) if count > 1 else 0.0
    farthest = float(np.abs(loss_N - centre).max())
    if are_counted(loss_N) and not (outcome_N is not None and _is_measure(outcome_N)):
        farthest = max(farthest, 1.0)
    reach = student_quantile(0.5 + level / 2, max(count - 1, 1)) * spread / sqrt(count)
    reach = max(reach, hidden(count, level) * farthest)
    return centre - reach, centre + reach


def are_counted(loss_N: np.ndarray) -> bool:
    """Whether rows count answers: differences are whole, or most are none; one row is no measure."""
    is_same_N = loss_N == 0.0
    is_whole = bool((loss_N == np.rint(loss_N)).all())
    return is_whole or len(loss_N) == 1 or 2 * int(is_same_N.sum()) >= len(loss_N)


def _is_measure(outcome_N: np.ndarray) -> bool:
    """Whether outcomes are amounts, such as bits: not whole, and hardly two of them equal."""
    is_whole = bool((outcome_N == np.rint(outcome_N)).all())
    return not is_whole and 2 * len(np.unique(outcome_N)) > len(outcome_N) > 1


def hidden(num_rows: int, level: float) -> float:
    """The largest share of different rows that so many equal ones may hide."""
    return 1.0 - (1.0 - level) ** (1.0 / num_rows)


@lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t, by bisection on its distribution function.

    The distribution function is integrated by Simpson's rule after t = tan(u) sqrt(freedom), where the
    density becomes cos(u)^(freedom - 1) up to its normaliser.
    """
    if freedom > 1000.0:  # the density is too narrow for Simpson's steps; the expansion errs by 1e-8 here
        z = NormalDist().inv_cdf(probability)
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        return z + first / freedom + second / freedom**2
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi)

    def upper_half(angle: float) -> float:
        steps = 400
        width = angle / steps
        total = sum((1 if i in (0, steps) else 4 if i % 2 else 2) * cos(i * width) ** (freedom - 1)
                    for i in range(steps + 1))  # fmt: skip
        return 0.5 + scale * total * width / 3

    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_half(middle) < probability else (low, middle)
    return tan(low) * sqrt(freedom)
