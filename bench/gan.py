"""gan: lichen's conditional GAN on Fashion-MNIST, and the DCGAN tutorial's network with as much CPU time.

The tutorial's network is written here from its description: 64x64 pictures, 100 numbers of a code, 64 to 512
channels, batch-norm, Adam at 2e-4 with beta1 .5, batches of 128, no classes. Ours trains first; the other
then has the same CPU seconds. Minutes are those of one core's work, which others on the machine do not
stretch. Both are judged at 28x28 by one classifier's features on the same validation rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

import lichen as li
from lichen.engine.generation import fidelity as measure
from lichen.engine.generation import generating
from lichen.engine.training import supervised

SOURCE = "/usr/share/datasets/fashion-mnist"
"""Debian's package dataset-fashion-mnist."""
OURS = {"epochs": 5, "batch_size": 64, "rate": 0.0005, "discriminator_rate": 0.001, "schedule": "linear"}
GOALS = {"minutes": 20, "agreement": 0.85, "coverage": 0.5, "times_noise": 5.0, "fid_share": 0.5}
CODES, WIDTH, SIDE, BATCH = 100, 64, 64, 128


def made_by_tutorial() -> tuple[nn.Module, nn.Module]:
    """The tutorial's two nets, weights drawn as it draws them."""
    wide = [8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]
    up: list[nn.Module] = [nn.ConvTranspose2d(CODES, wide[0], 4, 1, 0, bias=False)]
    down: list[nn.Module] = [nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for before, after in pairwise(wide):
        up += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    for before, after in pairwise(wide[::-1]):
        down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    up += [nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh()]
    down += [nn.Conv2d(wide[0], 1, 4, 1, 0, bias=False), nn.Flatten(0)]
    nets = nn.Sequential(*up), nn.Sequential(*down)
    for layer in (layer for net in nets for layer in net.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return nets


def tutorial(images: np.ndarray, limit_s: float, seed: int = 0) -> tuple[nn.Module, int]:
    """Its generator after so many CPU seconds, and the pictures it saw."""
    torch.manual_seed(seed)
    generator, discriminator = made_by_tutorial()
    rates = {"lr": 2e-4, "betas": (0.5, 0.999)}
    both = [torch.optim.Adam(net.parameters(), **rates) for net in (generator, discriminator)]
    start, num_seen = time.process_time(), 0
    while time.process_time() - start < limit_s:
        for rows in torch.randperm(len(images)).split(BATCH):
            real = larger(torch.from_numpy(images[rows.numpy()]))
            made = generator(torch.randn(len(rows), CODES, 1, 1))
            step(both[1], told(discriminator(real), 1.0) + told(discriminator(made.detach()), 0.0))
            step(both[0], told(discriminator(made), 1.0))
            num_seen += len(rows)
            if time.process_time() - start >= limit_s:
                break
    return generator.eval(), num_seen


def told(said: Tensor, truth: float) -> Tensor:
    return binary_cross_entropy_with_logits(said, torch.full_like(said, truth))


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def larger(pixels: Tensor) -> Tensor:
    return interpolate(generating.from_pixels(pixels), size=SIDE, mode="bilinear", antialias=True)


def drawn(generator: nn.Module, count: int, side: int) -> np.ndarray:
    torch.manual_seed(1)
    with torch.inference_mode():
        parts = [generator(torch.randn(len(rows), CODES, 1, 1)) for rows in torch.arange(count).split(250)]
        small = interpolate(torch.cat(parts), size=side, mode="bilinear", antialias=True)
    return generating.to_pixels(small).numpy()


def compare(num_train: int | None, options: dict, judge_epochs: int, num_rows: int) -> dict:
    data = li.load(SOURCE, num_train=num_train)
    judge = li.pretrain.train(data, net="cnn", optimizer="adam", batch_size=128, epochs=judge_epochs)
    wall, cpu = time.perf_counter(), time.process_time()
    gan = li.generate.gan(data, **options)
    ours = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    found = li.studies.fidelity(gan.generator, judge, num_rows=num_rows)
    print(found, flush=True)
    generator, num_seen = tutorial(data.rows("train").images, ours["cpu_s"])
    validation = data.rows("validation")
    real = validation.images[supervised.judged_rows(validation, num_rows)]
    made = drawn(generator, len(real), real.shape[-1])
    theirs = measure.figures(*(measure.features(judge, x) for x in (real, made)))
    return {
        **{name: round(seconds, 1) for name, seconds in ours.items()},
        "agreement": found.agreement["value"], "judge_accuracy": found.accuracy,
        "times_noise": round(found.times_noise, 1), "copies": found.copies,
        "lichen": {name: one["value"] for name, one in found.figures.items()},
        "tutorial": {name: one["value"] for name, one in theirs.items()},
        "epochs_seen": {"lichen": options["epochs"],
                        "tutorial": round(num_seen / data.num_rows("train"), 2)},
        "fid_share": found.figures["fid"]["value"] / theirs["fid"]["value"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="3 000 rows, 3 epochs: the goals are not its own"
    )
    parser.add_argument("--epochs", type=int, help="of ours; the other has as many CPU seconds")
    given = parser.parse_args()
    options = {**OURS, **({"epochs": 3} if given.quick else {})}
    options |= {"epochs": given.epochs} if given.epochs else {}
    with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder) / ".lichen"):
        figures = compare(3000 if given.quick else None, options, 2 if given.quick else 6,
                          300 if given.quick else 1000)  # fmt: skip
    ok = (
        figures["cpu_s"] <= 60 * GOALS["minutes"] and figures["agreement"] >= GOALS["agreement"]
        and figures["lichen"]["coverage"] >= GOALS["coverage"]
        and figures["times_noise"] >= GOALS["times_noise"] and figures["fid_share"] <= GOALS["fid_share"]
    )  # fmt: skip
    print(json.dumps({"bench": "gan", "figures": figures, "goal": GOALS, "ok": bool(ok)}))


if __name__ == "__main__":
    main()
