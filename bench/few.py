"""few: are rows of a GAN worth more than the best classical augmentation where labels are few?

Fashion-MNIST with 1 to 10 % of its train rows. Generator, classifier that filters, and judged trainings see
these rows alone; the judge is `studies.worth_of_synthetic` on real validation rows. Classical augmentation is
the better of two policies, chosen on validation before the judge is asked, so it is at its best. The goal is
what one would like; what was found is told as it is.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import lichen as li

SOURCE = "/usr/share/datasets/fashion-mnist"
"""Debian's package dataset-fashion-mnist."""
POLICIES = {"moves": ["flip", "crop"], "wide": ["flip", "crop", "trivialaugment"]}
TRAIN = {"net": "cnn", "optimizer": "adam", "batch_size": 64}
GAN = {"batch_size": 32, "rate": 0.0005, "discriminator_rate": 0.001, "schedule": "linear",
       "diffaugment": "translation_cutout", "balance": "sampling"}  # fmt: skip
GOAL_POINTS = 2.0


def life(num_train: int, gan_steps: int, train_steps: int, seeds: int) -> dict:
    """The verdict at one number of labels."""
    data = li.load(SOURCE, num_train=num_train)
    epochs = max(1, train_steps * TRAIN["batch_size"] // num_train)
    told = {name: li.pretrain.train(li.augment.policy(data, ops=ops), epochs=epochs, **TRAIN)
            for name, ops in POLICIES.items()}  # fmt: skip
    scores = {name: li.evaluate(model, data).value for name, model in told.items()}
    best = max(scores, key=lambda name: scores[name])
    gan = li.generate.gan(data, epochs=max(1, gan_steps * GAN["batch_size"] // num_train), **GAN)
    more = li.generate.synthesize(gan.generator, data, told[best], ratio=1.0, confidence=0.7)
    found = li.studies.worth_of_synthetic(told[best], more, seeds=seeds)
    print(f"{num_train} rows, {best}\n{found}", flush=True)
    return {
        "num_train": num_train, "policy": best, "points": round(100 * found.worth, 2),
        "interval": [round(100 * found.low, 2), round(100 * found.high, 2)], "verdict": found.verdict,
        "arms": {arm.name: round(arm.value, 4) for arm in found.arms}, "num_synthetic": found.num_synthetic,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 rows and few steps: says nothing of worth")
    parser.add_argument("--rows", type=int, nargs="+", default=[540, 1620], help="train rows with labels")
    given = parser.parse_args()
    sizes, steps = ([500], (40, 30, 2)) if given.quick else (given.rows, (4000, 600, 5))
    figures = []
    for num_train in sizes:
        with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder) / ".lichen"):
            figures.append(life(num_train, *steps))
    ok = any(one["interval"][0] > 0 and one["points"] >= GOAL_POINTS for one in figures)
    print(json.dumps({"bench": "few", "figures": figures, "goal": {"points": GOAL_POINTS}, "ok": ok}))


if __name__ == "__main__":
    main()
