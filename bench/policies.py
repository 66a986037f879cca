"""policies: what a chosen augmentation is worth at 500 labels of Fashion-MNIST, over no augmentation.

Per seed 500 rows of other pictures are drawn, evenly over classes, and 2 000 more for validation, by one half
of which `studies.policies` chooses. The policy chosen and none are then trained alike, and both are judged on
the whole test split, paired: the interval is over test pictures and seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lichen as li
from lichen.engine.scores import intervals

FASHION = "/usr/share/datasets/fashion-mnist"
NUM_LABELS, NUM_VALIDATION, NUM_CLASSES = 500, 2000, 10
GOAL = 0.05
"""Of test accuracy, over seeds."""
TRIALS = 4
"""Each a whole training: with fewer than nine, halving has no shorter rung."""
NET: dict[str, Any] = {
    "net": "resnet20", "epochs": 100, "batch_size": 50, "rate": 0.05, "precision": "bfloat16",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Of one seed: what was asked and chosen, and the outcome on each test row with it and with none."""

    asked: str
    seed: int
    ops: list[dict[str, float]]
    with_best: list[float]
    with_none: list[float]
    cpu_s: float


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


def judged(whole: li.Dataset, seed: int, net: dict[str, Any], trials: int, num_asked: int | None) -> Found:
    """What one seed's search chose, and which test rows are told with it and with none."""
    start = time.process_time()
    data = drawn(whole, seed, num_asked)
    model = li.pretrain.train(li.augment.policy(data, ops=["flip"]), **net, seed=seed)
    told = li.studies.policies(model, data, trials=trials, seeds=1, seed=seed)
    return Found(
        asked=repr((net, trials, num_asked)), seed=seed, ops=told.best,
        with_best=answers(data, told.best, net, seed).tolist(),
        with_none=answers(data, [], net, seed).tolist(), cpu_s=time.process_time() - start,
    )  # fmt: skip


def kept(folder: Path | None, seed: int, asked: str) -> Found | None:
    """What a former run has found, if it asked the same."""
    path = folder / f"policies-{seed}.json" if folder else None
    if path is None or not path.exists():
        return None
    found = Found(**json.loads(path.read_text()))
    return found if found.asked == asked else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 epochs, 3 trials, one seed; no goal")
    parser.add_argument("--source", type=Path, default=FASHION)
    parser.add_argument("--keep", type=Path, help="a folder; a seed that is done there is not run again")
    asked = parser.parse_args()
    net = {**NET, "epochs": 3} if asked.quick else NET
    trials, num_asked = (3, 200) if asked.quick else (TRIALS, None)
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder)):
        whole = li.load(asked.source)
        for seed in range(1 if asked.quick else 3):
            one = kept(asked.keep, seed, repr((net, trials, num_asked)))
            one = one or judged(whole, seed, net, trials, num_asked)
            found.append(one)
            if asked.keep:
                (asked.keep / f"policies-{seed}.json").write_text(json.dumps(asdict(one)))
            print(f"seed {seed}: {one.ops}: {np.mean(one.with_best):.4f}, none {np.mean(one.with_none):.4f}",
                  flush=True)  # fmt: skip
    with_best, with_none = (
        np.array([one.with_best for one in found]),
        np.array([one.with_none for one in found]),
    )
    worth, low, high = intervals.of(with_best - with_none, 0.95)
    figures = {
        "worth": worth, "low": low, "high": high, "with_best": float(with_best.mean()),
        "with_none": float(with_none.mean()), "policies": [one.ops for one in found],
        "cpu_s": sum(one.cpu_s for one in found),
    }  # fmt: skip
    goal = f"{100 * GOAL:.0f} points at {NUM_LABELS} labels"
    is_ok = worth >= GOAL and not asked.quick
    print(json.dumps({"bench": "policies", "figures": figures, "goal": goal, "ok": is_ok}))


if __name__ == "__main__":
    main()
