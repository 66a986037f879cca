"""fid: the Frechet distance by two symmetric eigenproblems, and by the root of a product of matrices.

Features are drawn with a decaying spectrum, as those of a net have one. The other side is written from the
published formula, with scipy.linalg.sqrtm; where pytorch_fid is installed its own function runs instead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy import linalg

from lichen.engine.generation import frechet

GOALS = {"times_faster": 3.0, "difference": 0.05}
Moments = tuple[np.ndarray, np.ndarray]


def drawn(num_rows: int, num_features: int, seed: int) -> np.ndarray:
    """float32 (N, F): correlated features whose scales fall off."""
    draws = np.random.default_rng(seed)
    scales = 1.0 / np.sqrt(1.0 + np.arange(num_features) / 20)
    mixed = np.linalg.qr(np.random.default_rng(0).normal(size=(num_features, num_features)))[0]
    return ((draws.normal(size=(num_rows, num_features)) * scales + 0.05 * seed) @ mixed).astype("float32")


def by_root(one: Moments, two: Moments) -> float:
    root = linalg.sqrtm(one[1] @ two[1])
    return float(((one[0] - two[0]) ** 2).sum() + np.trace(one[1] + two[1]) - 2 * np.trace(root.real))


def theirs() -> tuple[str, Callable[[Moments, Moments], float]]:
    try:
        from pytorch_fid.fid_score import calculate_frechet_distance
    except ImportError:
        return f"scipy {scipy.__version__} sqrtm", by_root
    return "pytorch_fid", lambda one, two: float(calculate_frechet_distance(*one, *two))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="512 features instead of Inception's 2 048")
    is_quick = parser.parse_args().quick
    num_features, rounds = (512, 3) if is_quick else (2048, 5)
    one, two = (frechet.moments(drawn(2 * num_features + 1000, num_features, seed)) for seed in (1, 2))
    name, other = theirs()
    sides = {"lichen": lambda: frechet.of_moments(*one, *two), name: lambda: other(one, two)}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    found: dict[str, float] = {}
    for _ in range(rounds):
        for side, measure in sides.items():
            start = time.process_time()
            found[side] = measure()
            seconds[side].append(time.process_time() - start)
    medians = {side: statistics.median(taken) for side, taken in seconds.items()}
    figures = {
        "features": num_features, "cpu_s": {side: round(median, 3) for side, median in medians.items()},
        "fid": found, "times_faster": round(medians[name] / medians["lichen"], 2),
        "difference": abs(found["lichen"] - found[name]),
    }  # fmt: skip
    ok = figures["times_faster"] >= GOALS["times_faster"] and figures["difference"] <= GOALS["difference"]
    print(json.dumps({"bench": "fid", "figures": figures, "goal": GOALS, "ok": ok}))


if __name__ == "__main__":
    main()
