"""several: how well rows were told all of their labels, with 95 % intervals of rows drawn again.

Shapes: N rows, K labels, R bootstrap replicates, G bins of confidence, T different scores of one label.
"""

from __future__ import annotations

import numpy as np

from lichen.engine.scores import metrics
from lichen.engine.scores.metrics import Figure

MAX_WEIGHED = 20_000_000
"""Rows times labels times replicates of the average precision, which sorts: fewer replicates above."""


def figures(probabilities_NK: np.ndarray, losses_N: np.ndarray, truth_NK: np.ndarray) -> dict[str, Figure]:
    """F1 by row, over all pairs (micro) and by label (macro), mean average precision, and how sure it was."""
    answer_NK = probabilities_NK > 0.5
    row_f1_N, exact_N = sample_f1(answer_NK, truth_NK), (answer_NK == truth_NK).all(1)
    counts_RN = _drawn(len(truth_NK), metrics.num_replicates(len(truth_NK)))
    hits_NK = (answer_NK & (truth_NK > 0)).astype(np.float64)
    sizes_NK = answer_NK.astype(np.float64) + truth_NK
    return {
        "sample_f1": _resampled(row_f1_N[:, None], counts_RN, lambda sums_R1: sums_R1[:, 0] / len(row_f1_N)),
        "micro_f1": _resampled(np.stack([hits_NK.sum(1), sizes_NK.sum(1)], 1), counts_RN, _f1_of_sums),
        "macro_f1": _resampled(np.concatenate([hits_NK, sizes_NK], 1), counts_RN, _macro_f1),
        "mean_average_precision": mean_average_precision(probabilities_NK, truth_NK, counts_RN),
        "subset_accuracy": metrics.proportion(int(exact_N.sum()), len(exact_N)),
        "log_loss": metrics.positive_mean(losses_N),
        "calibration_error": _calibration(probabilities_NK, truth_NK, counts_RN),
    }  # fmt: skip


def sample_f1(answer_NK: np.ndarray, truth_NK: np.ndarray) -> np.ndarray:
    """float64 (N,): 2 hits / (said + true) of each row; a row without labels that is told none is right."""
    hits_N = (answer_NK & (truth_NK > 0)).sum(1)
    sizes_N = answer_NK.sum(1) + truth_NK.sum(1, dtype=np.int64)
    return np.where(sizes_N > 0, 2.0 * hits_N / np.maximum(sizes_N, 1), 1.0)


def mean_average_precision(scores_NK: np.ndarray, truth_NK: np.ndarray, counts_RN: np.ndarray) -> Figure:
    """The mean over labels that occur of the area under precision by recall, without interpolation."""
    replicates = max(2, min(len(counts_RN), MAX_WEIGHED // max(1, scores_NK.size)))
    weights_RN = np.concatenate([np.ones((1, len(truth_NK))), counts_RN[:replicates]])
    per_label = [average_precision(scores_NK[:, k], truth_NK[:, k], weights_RN)
                 for k in range(scores_NK.shape[1])]  # fmt: skip
    values_R = np.nanmean(np.stack([*per_label, np.where(_is_bare(truth_NK, weights_RN), 0.0, np.nan)]), 0)
    return metrics.bootstrapped(float(values_R[0]), values_R[1:])


def average_precision(scores_N: np.ndarray, truth_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """float64 (R,): precision over the gains of recall, by thresholds; NaN where no row has the label.

    Args:
        weights_RN: how often each row counts.
    """
    order = np.argsort(-scores_N, kind="stable")
    ends_T = np.append(np.flatnonzero(np.diff(scores_N[order])), len(order) - 1)  # equal scores fall together
    sorted_RN = weights_RN[:, order]
    said_RT = np.cumsum(sorted_RN, 1)[:, ends_T]
    hits_RT = np.cumsum(sorted_RN * truth_N[order], 1)[:, ends_T]
    gained_RT = np.diff(hits_RT, axis=1, prepend=0.0)
    total_R = hits_RT[:, -1]
    area_R = (gained_RT * hits_RT / np.maximum(said_RT, 1e-12)).sum(1)
    return np.where(total_R > 0, area_R / np.maximum(total_R, 1e-12), np.nan)


def _is_bare(truth_NK: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """bool (R,): whether no drawn row has any label, so that there is nothing to find."""
    return weights_RN @ truth_NK.sum(1, dtype=np.float64) == 0


def _drawn(num_rows: int, replicates: int) -> np.ndarray:
    """float64 (R, N): how often each row is drawn."""
    rng = np.random.default_rng(0)
    return rng.multinomial(num_rows, np.full(num_rows, 1.0 / num_rows), replicates).astype(np.float64)


def _resampled(table_N: np.ndarray, counts_RN: np.ndarray, measure) -> Figure:
    """A figure of column sums, with the interval of rows drawn again."""
    value = measure(table_N.sum(0, keepdims=True))[0]
    return metrics.bootstrapped(float(value), measure(counts_RN @ table_N))


def _f1_of_sums(sums_R2: np.ndarray) -> np.ndarray:
    return np.where(sums_R2[:, 1] > 0, 2 * sums_R2[:, 0] / np.maximum(sums_R2[:, 1], 1e-12), 1.0)


def _macro_f1(sums_R2K: np.ndarray) -> np.ndarray:
    """Mean F1 over the labels that occur or were answered."""
    hits_RK, sizes_RK = np.split(sums_R2K, 2, axis=1)
    present_RK = sizes_RK > 0
    f1_RK = 2 * hits_RK / np.maximum(sizes_RK, 1e-12)
    return np.where(present_RK.any(1), (f1_RK * present_RK).sum(1) / np.maximum(present_RK.sum(1), 1), 1.0)


def _calibration(probabilities_NK: np.ndarray, truth_NK: np.ndarray, counts_RN: np.ndarray) -> Figure:
    """Mean distance of the probability of each label from how often rows have it, over bins."""
    bins = metrics.NUM_BINS
    bin_NK = np.minimum((probabilities_NK * bins).astype(np.int64), bins - 1)
    gaps_NK = probabilities_NK - truth_NK
    places_NK = bin_NK + bins * np.arange(len(bin_NK))[:, None]
    table_NG = np.bincount(places_NK.ravel(), gaps_NK.ravel(), bins * len(bin_NK)).reshape(-1, bins)
    return _resampled(table_NG, counts_RN, lambda sums_RG: np.abs(sums_RG).sum(1) / gaps_NK.size)
