"""policies: what a searched augmentation is worth at 500 labels of Fashion-MNIST, over no augmentation.

Per seed 500 rows of other pictures are drawn, evenly over classes, and 2 000 more for validation, by one half
of which `studies.policies` chooses. The policy chosen and none are then trained alike, and both are judged on
the whole test split, paired: the interval is over test pictures and seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import lichen as li
from lichen.engine import intervals

FASHION = "/usr/share/datasets/fashion-mnist"
NUM_LABELS, NUM_VALIDATION, NUM_CLASSES = 500, 2000, 10
GOAL = 0.05
"""Of test accuracy, over seeds."""
TRIALS = 4
"""Each a whole training: what helps most needs the most epochs, so short looks of halving err here."""
NET: dict[str, Any] = {
    "net": "resnet20", "epochs": 100, "batch_size": 50, "rate": 0.05, "precision": "bfloat16",
}  # fmt: skip


def drawn(whole: li.Dataset, seed: int, num_asked: int | None) -> li.Dataset:
    """Few rows to learn from, some to choose by, and the test rows."""
    train, test = whole.rows("train"), whole.rows("test")
    order = np.random.default_rng(seed).permutation(len(train))
    labels = np.asarray(train.targets)[order]
    each = NUM_LABELS // NUM_CLASSES
    few = np.concatenate([order[labels == label][:each] for label in range(NUM_CLASSES)])
    rest = np.setdiff1d(order, few, assume_unique=True)
    judging = np.random.default_rng(seed).permutation(rest)[:NUM_VALIDATION]
    asked = np.arange(len(test))[:num_asked]
    images = [train.batch(few), train.batch(judging), test.batch(asked)]
    targets = [np.asarray(train.targets)[few], np.asarray(train.targets)[judging],
               np.asarray(test.targets)[asked]]  # fmt: skip
    splits = [name for name, rows in zip(("train", "validation", "test"), targets, strict=True) for _ in rows]
    return li.arrays(np.concatenate(images), np.concatenate(targets), [str(n) for n in range(NUM_CLASSES)],
                     splits, duplicates="keep")  # fmt: skip


def answers(data: li.Dataset, ops: list[dict[str, float]], net: dict[str, Any], seed: int) -> np.ndarray:
    model = li.pretrain.train(li.augment.policy(data, ops=ops), **net, seed=seed)
    return li.evaluate(model, data, split="test").answers()["outcome"].numpy().astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 epochs, 3 trials, one seed; no goal")
    parser.add_argument("--source", type=Path, default=FASHION)
    asked = parser.parse_args()
    net = {**NET, "epochs": 3} if asked.quick else NET
    found, with_best, with_none = [], [], []
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder)):
        whole = li.load(asked.source)
        for seed in range(1 if asked.quick else 3):
            data = drawn(whole, seed, 200 if asked.quick else None)
            model = li.pretrain.train(li.augment.policy(data, ops=["flip"]), **net, seed=seed)
            told = li.studies.policies(model, data, trials=3 if asked.quick else TRIALS, seeds=1, seed=seed)
            found.append({"ops": told.best, "value": told.with_best})
            with_best.append(answers(data, told.best, net, seed))
            with_none.append(answers(data, [], net, seed))
            print(f"seed {seed}: {told.best}: {with_best[-1].mean():.4f}, none {with_none[-1].mean():.4f}",
                  flush=True)  # fmt: skip
    worth, low, high = intervals.of(np.stack(with_best) - np.stack(with_none), 0.95)
    figures = {
        "worth": worth, "low": low, "high": high, "with_best": float(np.mean(with_best)),
        "with_none": float(np.mean(with_none)), "policies": found, "cpu_s": time.process_time() - start,
    }  # fmt: skip
    goal = f"{100 * GOAL:.0f} points at {NUM_LABELS} labels"
    is_ok = worth >= GOAL and not asked.quick
    print(json.dumps({"bench": "policies", "figures": figures, "goal": goal, "ok": is_ok}))


if __name__ == "__main__":
    main()
