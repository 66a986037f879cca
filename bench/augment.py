"""augment: images per second per core of crop + flip + normalise and of whole policies, against torchvision.

Both sides take the same uint8 pictures in memory to one normalised float batch. torchvision goes picture by
picture, as its documented pipelines for CIFAR do (v1 on PIL images, v2 on tensors), without worker processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from lichen.data import augment, batches
from lichen.tasks.image_classification import TASK

MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
BATCH = 128
GOALS = {"crop flip": 10.0, "crop flip trivial": 8.0}
"""Times torchvision v1, with normalisation on both sides."""


def ours(images: torch.Tensor, ops: list[dict[str, float]]) -> Callable[[int], int]:
    num_rows, assets = len(images), {"mean": MEAN, "std": STD}
    made = batches.Batches(
        images=images, targets=torch.zeros(num_rows, dtype=torch.int64), ids=torch.arange(num_rows),
        batch_size=BATCH, policy=augment.policy_of(ops),
    )  # fmt: skip

    def epoch(number: int) -> int:
        return sum(len(TASK.inputs(x, assets)) for x, *_ in made.epoch(number))

    return epoch


def theirs(items: list, transform: Callable) -> Callable[[int], int]:
    def epoch(number: int) -> int:
        done = 0
        for start in range(0, len(items), BATCH):
            done += len(torch.stack([transform(item) for item in items[start : start + BATCH]]))
        return done

    return epoch


def sides(images: torch.Tensor) -> dict[str, Callable[[int], int]]:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    end = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    end_v1 = [v1.ToTensor(), v1.Normalize(MEAN, STD)]
    return {
        "lichen crop flip": ours(images, [{"flip": 0.5}, {"crop": 0.125}]),
        "lichen rotate zoom shift flip": ours(
            images, [{"rotate": 15}, {"zoom": 0.15}, {"shift": 0.1}, {"flip": 0.5}]),
        "lichen crop flip colour cutout": ours(
            images, [{"flip": 0.5}, {"crop": 0.125}, {"colour": 0.2}, {"cutout": 0.25}]),
        "lichen crop flip trivial": ours(images, [{"flip": 0.5}, {"crop": 0.125}, {"trivialaugment": 1.0}]),
        "torchvision v1 crop flip trivial": theirs(pictures, v1.Compose(
            [v1.RandomCrop(32, 4, padding_mode="reflect"), v1.RandomHorizontalFlip(),
             v1.TrivialAugmentWide(), *end_v1])),
        "torchvision v2 crop flip trivial": theirs(list(images), v2.Compose(
            [v2.RandomCrop(32, 4, padding_mode="reflect"), v2.RandomHorizontalFlip(),
             v2.TrivialAugmentWide(), *end])),
        "torchvision v1 crop flip": theirs(pictures, v1.Compose(
            [v1.RandomCrop(32, 4, padding_mode="reflect"), v1.RandomHorizontalFlip(), *end_v1])),
        "torchvision v2 crop flip": theirs(list(images), v2.Compose(
            [v2.RandomCrop(32, 4, padding_mode="reflect"), v2.RandomHorizontalFlip(), *end])),
        "torchvision v1 affine flip": theirs(pictures, v1.Compose(
            [v1.RandomAffine(15, (0.1, 0.1), (0.87, 1.15), interpolation=v1.InterpolationMode.BILINEAR),
             v1.RandomHorizontalFlip(), *end_v1])),
        "torchvision v1 crop flip colour": theirs(pictures, v1.Compose(
            [v1.RandomCrop(32, 4, padding_mode="reflect"), v1.RandomHorizontalFlip(),
             v1.ColorJitter(0.2, 0.2, 0.2), *end_v1])),
    }  # fmt: skip


def measured(sides: dict[str, Callable[[int], int]], rounds: int) -> dict[str, float]:
    """Median images per CPU second of each side, rounds interleaved."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, epoch in sides.items():
            start = time.process_time()
            done = epoch(number)
            rates[name].append(done / (time.process_time() - start))
    return {name: statistics.median(found) for name, found in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2048, 3, 32, 32), dtype=np.uint8))
    figures = measured(sides(images), 3 if quick else 9)
    for name, rate in figures.items():
        print(f"{name:34s} {rate:10.0f} images/s")
    ratios = {name: round(figures[f"lichen {name}"] / figures[f"torchvision v1 {name}"], 1) for name in GOALS}
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, 1 thread; {ratios}")
    rounded = {name: round(rate) for name, rate in figures.items()}
    print(json.dumps({"bench": "augment", "figures": {**rounded, "ratios": ratios}, "goal": GOALS,
                      "ok": all(ratios[name] >= goal for name, goal in GOALS.items())}))  # fmt: skip


if __name__ == "__main__":
    main()
