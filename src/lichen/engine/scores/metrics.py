"""metrics: what classes were told apart, with 95 % intervals.

Shapes: N rows, K classes, M distinct (truth, answer) pairs, R bootstrap replicates, G bins of confidence.
"""

from __future__ import annotations

import math

import numpy as np

LEVEL = 0.95
Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""
REPLICATES = 200
NUM_BINS = 15
"""Of the calibration error: Guo et al. 2017."""

Figure = dict[str, float]


def softmax(outputs_NK: np.ndarray) -> np.ndarray:
    shifted_NK = outputs_NK.astype(np.float64) - outputs_NK.max(1, keepdims=True)
    np.exp(shifted_NK, out=shifted_NK)
    return shifted_NK / shifted_NK.sum(1, keepdims=True)


def row_losses(outputs_NK: np.ndarray, targets_N: np.ndarray) -> np.ndarray:
    """-log p(target) per row."""
    wide_NK = outputs_NK.astype(np.float64)
    top_N = wide_NK.max(1)
    total_N = np.log(np.exp(wide_NK - top_N[:, None]).sum(1)) + top_N
    return total_N - wide_NK[np.arange(len(targets_N)), targets_N]


def of_classes(
    probabilities_NK: np.ndarray, losses_N: np.ndarray, targets_N: np.ndarray
) -> dict[str, Figure]:
    """Accuracy, balanced accuracy, log loss, calibration error and macro F1."""
    answers_N = probabilities_NK.argmax(1)
    correct_N = answers_N == targets_N
    return {
        "accuracy": proportion(int(correct_N.sum()), len(correct_N)),
        "balanced_accuracy": _of_pairs(targets_N, answers_N, _balanced),
        "log_loss": positive_mean(losses_N),
        "calibration_error": calibration_error(probabilities_NK.max(1), correct_N),
        "macro_f1": _of_pairs(targets_N, answers_N, _macro_f1),
    }


def proportion(hits: float, count: float) -> Figure:
    """A share with Wilson's interval (1927)."""
    share = hits / count
    centre = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count)) / (1 + Z * Z / count)
    return _figure(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def positive_mean(values_N: np.ndarray) -> Figure:
    """The mean of what is never below 0; its interval is normal on the log scale, so neither is that."""
    centre, count = float(values_N.mean()), len(values_N)
    if count < 2 or centre <= 0.0:
        return _figure(centre, centre, centre)
    factor = math.exp(Z * float(values_N.std(ddof=1)) / math.sqrt(count) / centre)
    return _figure(centre, centre / factor, centre * factor)


def ratio(above_N: np.ndarray, below_N: np.ndarray) -> Figure:
    """A ratio of sums over rows, with the interval of rows drawn again."""
    value = float(above_N.sum() / max(1, below_N.sum()))
    times_RN = resampled(len(above_N))
    return bootstrapped(value, (times_RN @ above_N) / np.maximum(1, times_RN @ below_N))


def resampled(count: int) -> np.ndarray:
    """int64 (R, N): how often each row is drawn when as many are drawn again."""
    draws = np.random.default_rng(0)
    return draws.multinomial(count, np.full(count, 1.0 / count), num_replicates(count))


def calibration_error(confidence_N: np.ndarray, correct_N: np.ndarray) -> Figure:
    """Mean distance of confidence from accuracy over bins of confidence, weighted by rows."""
    bins_N = np.minimum((confidence_N * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    # The error of a bin needs only the sum of its gaps; one row is one draw of (bin, gap).
    gaps_N = confidence_N - correct_N
    value = np.abs(np.bincount(bins_N, gaps_N, NUM_BINS)).sum() / len(gaps_N)
    rng = np.random.default_rng(0)
    replicates = []
    for _ in range(num_replicates(len(gaps_N))):
        chosen_N = rng.integers(0, len(gaps_N), len(gaps_N))
        replicates.append(
            np.abs(np.bincount(bins_N[chosen_N], gaps_N[chosen_N], NUM_BINS)).sum() / len(gaps_N)
        )
    return bootstrapped(float(value), np.asarray(replicates))


def bootstrap(metric, outputs_NK: np.ndarray, targets_N: np.ndarray) -> Figure:
    """A user's metric with the interval of resampled rows."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(targets_N), len(targets_N)) for _ in range(REPLICATES // 4)]
    replicates = np.asarray([float(metric(outputs_NK[rows], targets_N[rows])) for rows in draws])
    return bootstrapped(float(metric(outputs_NK, targets_N)), replicates)


def _of_pairs(truth_N: np.ndarray, answers_N: np.ndarray, measure) -> Figure:
    """A figure of the confusion table. Drawing rows again is drawing its cells from a multinomial."""
    size = int(max(truth_N.max(), answers_N.max())) + 1
    cells_M, counts_M = np.unique(truth_N * size + answers_N, return_counts=True)
    truth_M, answer_M = cells_M // size, cells_M % size
    rng = np.random.default_rng(0)
    drawn_RM = rng.multinomial(len(truth_N), counts_M / counts_M.sum(), num_replicates(len(truth_N)))
    value = measure(counts_M[None], truth_M, answer_M, size)[0]
    return bootstrapped(float(value), measure(drawn_RM, truth_M, answer_M, size))


def _tables(
    counts_RM: np.ndarray, truth_M: np.ndarray, answer_M: np.ndarray, size: int
) -> tuple[np.ndarray, ...]:
    """Hits, rows and answers per class, each (R, K)."""
    hits_RK, rows_RK, said_RK = (np.zeros((len(counts_RM), size)) for _ in range(3))
    right_M = truth_M == answer_M
    hits_RK[:, truth_M[right_M]] = counts_RM[:, right_M]
    for table_RK, classes_M in ((rows_RK, truth_M), (said_RK, answer_M)):
        order = np.argsort(classes_M, kind="stable")
        present, starts = np.unique(classes_M[order], return_index=True)
        table_RK[:, present] = np.add.reduceat(counts_RM[:, order], starts, axis=1)
    return hits_RK, rows_RK, said_RK


def _balanced(counts_RM: np.ndarray, truth_M: np.ndarray, answer_M: np.ndarray, size: int) -> np.ndarray:
    """Mean recall over the classes that occur."""
    hits_RK, rows_RK, _ = _tables(counts_RM, truth_M, answer_M, size)
    return _mean_where(hits_RK / np.maximum(rows_RK, 1), rows_RK > 0)


def _macro_f1(counts_RM: np.ndarray, truth_M: np.ndarray, answer_M: np.ndarray, size: int) -> np.ndarray:
    """Mean F1 over the classes that occur or were answered."""
    hits_RK, rows_RK, said_RK = _tables(counts_RM, truth_M, answer_M, size)
    return _mean_where(2 * hits_RK / np.maximum(rows_RK + said_RK, 1), rows_RK + said_RK > 0)


def weighted_kappa(truth_N: np.ndarray, answers_N: np.ndarray) -> Figure:
    """Agreement beyond chance, errors weighted by the square of their distance (Cohen 1968)."""

    def measure(counts_RM: np.ndarray, truth_M: np.ndarray, answer_M: np.ndarray, size: int) -> np.ndarray:
        _, rows_RK, said_RK = _tables(counts_RM, truth_M, answer_M, size)
        far_KK = (np.arange(size)[:, None] - np.arange(size)[None]) ** 2.0
        seen_R = (counts_RM * (truth_M - answer_M) ** 2.0).sum(1)
        chance_R = ((rows_RK @ far_KK) * said_RK).sum(1) / counts_RM.sum(1)
        return np.where(chance_R > 0, 1.0 - seen_R / np.maximum(chance_R, 1e-12), 1.0)

    return _of_pairs(truth_N, answers_N, measure)


def _mean_where(values_RK: np.ndarray, present_RK: np.ndarray) -> np.ndarray:
    return (values_RK * present_RK).sum(1) / present_RK.sum(1)


def num_replicates(count: int) -> int:
    return int(min(REPLICATES, max(50, 4_000_000 // count)))


def bootstrapped(value: float, replicates_R: np.ndarray) -> Figure:
    """A figure with the quantiles of its replicates; NaN where most of those have none, so nothing is known.

    A replicate has no figure where rows that were drawn lack what is asked of, such as one of two classes.
    """
    finite_R = replicates_R[np.isfinite(replicates_R)]
    if 2 * len(finite_R) <= len(replicates_R):
        return _figure(value, math.nan, math.nan)
    low, high = np.quantile(finite_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return _figure(value, min(value, float(low)), max(value, float(high)))


def _figure(value: float, low: float, high: float) -> Figure:
    return {"value": value, "low": low, "high": high, "level": LEVEL}
