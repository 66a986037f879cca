"""bleu: how like the wanted texts are those that were told: BLEU and chrF, by sacrebleu, with intervals.

Both are figures of a whole split: ratios of counts that sum over rows. So intervals draw rows again (Koehn
2004), and a row's share is its pseudo-value, how far the figure moves without it (Efron and Tibshirani 1993,
section 11.5); shares average to the figure, and differences of two translators are paired row by row.

Papers: Papineni et al. 2002; Popovic 2015; Post 2018 (one way to count).
Shapes: N rows, S counts of a row, R replicates, W bytes of the longest text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lichen.core.errors import missing_package
from lichen.engine.scores import metrics
from lichen.engine.scores.metrics import Figure

HAN = (0x3400, 0x9FFF)
MOSTLY = 0.5
"""The share of Chinese characters among letters from which texts are counted character by character."""


def judged(said: Sequence[str], wanted: Sequence[str]) -> tuple[dict[str, Figure], np.ndarray]:
    """`bleu` and `chrf` from 0 to 100, and float32 (N,) each row's share of bleu."""
    measures = of(wanted)
    found = {name: _counted(measure, said, wanted) for name, measure in measures.items()}
    figures = {name: _figure(measures[name], counts_NS) for name, counts_NS in found.items()}
    return figures, _shares(measures["bleu"], found["bleu"])


def of(wanted: Sequence[str]) -> dict[str, Any]:
    """sacrebleu's measures: words by mteval's 13a, of Chinese by characters."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise missing_package("sacrebleu", "text") from None
    # force: it would warn of texts that look tokenized, which are then counted all the same
    return {"bleu": BLEU(tokenize=words_of(wanted), force=True), "chrf": CHRF()}


def words_of(texts: Sequence[str]) -> str:
    """What sacrebleu calls the way to cut these texts into words: `13a` or `zh`."""
    letters = [ord(letter) for text in texts for letter in text if letter.isalpha()]
    num_han = sum(HAN[0] <= letter <= HAN[1] for letter in letters)
    return "zh" if num_han > MOSTLY * max(1, len(letters)) else "13a"


def _counted(measure: Any, said: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """int64 (N, S): what the measure counts in each row."""
    return np.array(measure._extract_corpus_statistics(list(said), [list(wanted)]), np.int64)


def _scored(measure: Any, counts_S: np.ndarray) -> float:
    return float(measure._compute_score_from_stats(counts_S.tolist()).score)


def _figure(measure: Any, counts_NS: np.ndarray) -> Figure:
    value = _scored(measure, counts_NS.sum(0))
    drawn_RS = metrics.resampled(len(counts_NS)) @ counts_NS
    return metrics.bootstrapped(value, np.array([_scored(measure, counts_S) for counts_S in drawn_RS]))


def _shares(measure: Any, counts_NS: np.ndarray) -> np.ndarray:
    count, total_S = len(counts_NS), counts_NS.sum(0)
    value = _scored(measure, total_S)
    without_N = np.array([_scored(measure, total_S - counts_S) for counts_S in counts_NS])
    moved_N = (count - 1) * (value - without_N)
    return (value + moved_N - moved_N.mean()).astype(np.float32)


def packed(*texts: Sequence[str]) -> list[np.ndarray]:
    """uint8 (N, W) of each list of texts, in UTF-8, filled up with 0 to one width."""
    encoded = [[text.encode() for text in one] for one in texts]
    width = max(1, *(len(text) for one in encoded for text in one))
    return [
        np.frombuffer(b"".join(text.ljust(width, b"\0") for text in one), np.uint8).reshape(-1, width)
        for one in encoded
    ]


def unpacked(texts_NW: np.ndarray) -> list[str]:
    """The inverse of `packed`, of one list."""
    return [bytes(row).rstrip(b"\0").decode("utf-8", "replace") for row in texts_NW]
