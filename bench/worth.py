"""worth: how often the judge of synthetic rows is right: bad ones refused, good ones accepted.

Real trainings of a small net on few digits, under a second each. Good: real rows that were held back. Bad:
noise, labels that have nothing to do with the pictures, and copies of the rows that are there already.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import lichen as li

FEW, MANY, EPOCHS = 60, 600, 6
GOALS = {"bad": 0.0, "good": 0.9}
"""Shares accepted: none of the bad, 18 of 20 of the good."""


def task(seed: int) -> tuple[li.Dataset, np.ndarray, np.ndarray]:
    """Few digits to train on, many to be judged by, and others held back with their labels."""
    rows = li.load("digits", validation=0.0, test=0.0, duplicates="keep").rows("train")
    order = np.random.default_rng(seed).permutation(len(rows))
    train, judging, rest = np.split(order, [FEW, FEW + 700])
    chosen = np.concatenate([train, judging])
    splits = ["train"] * len(train) + ["validation"] * len(judging)
    labels = [str(digit) for digit in range(10)]
    data = li.arrays(rows.images[chosen], rows.targets[chosen], labels, splits, duplicates="drop")
    return data, rows.images[rest[:MANY]], rows.targets[rest[:MANY]]


def synthetic(kind: str, seed: int, data: li.Dataset, images: np.ndarray, targets: np.ndarray) -> li.Dataset:
    draws = np.random.default_rng(seed + 1000)
    if kind == "noise":
        images = draws.integers(0, 256, images.shape, dtype=np.uint8)
    if kind == "mislabelled":
        targets = draws.integers(0, 10, len(targets))
    if kind == "copies":
        rows = data.rows("train")
        chosen = draws.integers(0, len(rows), MANY)
        images, targets = rows.images[chosen], rows.targets[chosen]
    return li.arrays(images, targets, data.labels, validation=0, test=0)


def verdict(kind: str, seed: int) -> bool:
    data, images, targets = task(seed)
    model = li.pretrain.train(data, net="mlp", net_options={"width": 48}, epochs=EPOCHS, batch_size=16,
                              precision="float32", seed=seed)  # fmt: skip
    found = li.studies.worth_of_synthetic(model, synthetic(kind, seed, data, images, targets))
    print(
        f"{kind} {seed}: {found.verdict}, {found.worth:+.4f} [{found.low:+.4f}, {found.high:+.4f}]",
        flush=True,
    )
    return found.is_accepted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 problems of each kind instead of 20")
    num_problems = 2 if parser.parse_args().quick else 20
    accepted, start = {}, time.process_time()
    for kind in ("held back", "noise", "mislabelled", "copies"):
        with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder) / ".lichen"):
            accepted[kind] = sum(verdict(kind, seed) for seed in range(num_problems))
    num_trainings = 4 * num_problems * 6 * 5
    figures = {"problems": num_problems, "accepted": accepted,
               "cpu_s_per_training": round((time.process_time() - start) / num_trainings, 3)}  # fmt: skip
    bad = max(count for kind, count in accepted.items() if kind != "held back")
    print(json.dumps({"bench": "worth", "figures": figures, "goal": GOALS,
                      "ok": bad == 0 and accepted["held back"] >= GOALS["good"] * num_problems}))  # fmt: skip


if __name__ == "__main__":
    main()
