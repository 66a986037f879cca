"""cifar10: 94 % on CIFAR-10's test rows: `recipes/cifar10_fast.yaml` beside a plain PyTorch ResNet-18 loop.

lichen's side is real: `lichen run` of the whole recipe in a store of its own, once per seed; wall and CPU
seconds of the process, with imports, decoding, measuring, training, judging and the one opening of test. A
seed that is done is kept in the folder of `--keep` and not run again.

The plain side would take most of a day, so it is its measured CPU seconds per picture times the 35 epochs
that it needs, which is little: 35 is the length of B. Johnson's DAWNBench entry, the ResNet-18 tuned to reach
94 % soonest, from which D. Page's "How to Train Your ResNet" (2018) starts. Jordan (2024) comes to the like:
94 % takes airbench94 .36 PFLOP and a ResNet-18 17 times that, 37 epochs at 3.34 GFLOP per picture. The loop
is the tutorials': torchvision's crop, flip and normalisation, DataLoader, batch 128, SGD with Nesterov
momentum, float32, one thread, which spends the fewest CPU seconds. Its best form on a CPU (bfloat16,
channels-last, batches varied at once) is measured too, for comparison; it has no goal.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
RECIPE = ROOT / "recipes" / "cifar10_fast.yaml"
PLAIN_EPOCHS, NUM_ROWS, BATCH = 35, 50_000, 128
GOALS = {"accuracy": 0.94, "wall_s": 18 * 60, "cpu_ratio": 20.0}
"""The mean over seeds at least; each seed at most; plain over lichen at least."""

# lichen.


def lived(seed: int, folder: Path, options: Sequence[str]) -> dict[str, Any]:
    """One life of the recipe, or what a former run has kept of it."""
    kept, asked = folder / f"seed-{seed}.json", [RECIPE.read_text(), *options]
    if kept.exists():
        found = json.loads(kept.read_text())
        if found["asked"] == asked:
            return found
    store = folder / f"store-{seed}"
    shutil.rmtree(store, ignore_errors=True)  # a life cut short has no time of its own
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-m", "lichen", "run", str(RECIPE), f"train.seed={seed}", *options,
         "--store", str(store), "--json", "--measure-again"],
        env=environment(), cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    test = json.loads(said.stdout)["test"]
    found = {
        "seed": seed, "accuracy": test["value"], "num_rows": test["num_rows"], "wall_s": wall_s,
        "asked": asked,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }  # fmt: skip
    kept.write_text(json.dumps(found))
    shutil.rmtree(store)
    return found


def environment() -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": paths}


# The plain loop.


def plain(num_steps: int, is_best: bool) -> dict[str, float]:
    """Pictures per second, and CPU seconds per picture, of some steps after two to warm up.

    The data: as many real pictures as the steps take.
    """
    import numpy as np
    import torch

    import lichen as li
    from lichen.nets import resnet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    num_rows = BATCH * (num_steps + 2)
    rows = li.load("cifar10", num_train=num_rows).rows("train")
    images, targets = rows.batch(np.arange(num_rows)), torch.from_numpy(rows.targets.copy())
    net = resnet.build(in_shape=(3, 32, 32), num_outputs=10)
    batches = varied_at_once(images, targets) if is_best else varied_by_torchvision(images, targets)
    if is_best:
        net = net.to(memory_format=torch.channels_last)
    made = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    start, cpu_start = 0.0, 0.0
    for step, (x, y) in enumerate(batches):
        if step == 2:
            start, cpu_start = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_best):
            loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        made.step()
        made.zero_grad()
    count = num_steps * BATCH
    return {
        "images_per_s": count / (time.perf_counter() - start),
        "cpu_s_per_image": (time.process_time() - cpu_start) / count,
    }


def varied_by_torchvision(images: Any, targets: Any) -> Any:
    """A DataLoader over PIL pictures, each transformed by itself."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    vary = transforms.Compose([
        transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ])  # fmt: skip

    class Pictures(Dataset):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            return vary(Image.fromarray(images[row].transpose(1, 2, 0))), targets[row]

    return DataLoader(Pictures(), BATCH, shuffle=True)


def varied_at_once(images: Any, targets: Any) -> Any:
    """Whole batches, mirrored and moved together: less than any recipe varies them."""
    import torch

    normal = (torch.from_numpy(images).float() / 255 - 0.47) / 0.25
    for rows in torch.randperm(len(images)).split(BATCH):
        x = normal[rows].roll(torch.randint(-4, 5, (2,)).tolist(), (2, 3)).flip(3)
        yield x.contiguous(memory_format=torch.channels_last), targets[rows]


# Both.


def report(seeds: Sequence[Mapping[str, Any]], sides: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    for own in seeds:
        print(
            f"seed {own['seed']}  test {own['accuracy']:.4f}  {own['wall_s']:7.1f} s  CPU {own['cpu_s']:7.1f}"
        )
    cpu_s = mean(own["cpu_s"] for own in seeds)
    figures: dict[str, Any] = {
        "accuracy": mean(own["accuracy"] for own in seeds), "wall_s": max(own["wall_s"] for own in seeds),
        "cpu_s": cpu_s, "plain_epochs": PLAIN_EPOCHS,
        "seeds": [{name: own[name] for name in own if name != "asked"} for own in seeds],
    }  # fmt: skip
    for name, side in sides.items():
        whole_s = side["cpu_s_per_image"] * NUM_ROWS * PLAIN_EPOCHS
        figures[name] = {**side, "cpu_s": whole_s, "ratio": whole_s / cpu_s}
        print(
            f"{name:10} {side['images_per_s']:6.1f} images/s, CPU {whole_s:7.0f} s in {PLAIN_EPOCHS} epochs: "
            f"{whole_s / cpu_s:.1f} times lichen's"
        )
    figures["cpu_ratio"] = figures["plain"]["ratio"]
    return figures


def is_reached(figures: Mapping[str, Any]) -> bool:
    return (
        figures["accuracy"] >= GOALS["accuracy"]
        and figures["wall_s"] <= GOALS["wall_s"]
        and figures["cpu_ratio"] >= GOALS["cpu_ratio"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, two epochs of 2 000 rows; no goal")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where finished seeds are kept; goes on from there")
    told = parser.parse_args()
    if not os.environ.get("LICHEN_DATA"):
        sys.exit("error: needs LICHEN_DATA with cifar10 in it")
    sys.path.insert(0, str(SOURCE))
    from lichen.core.machine import environment as machine

    options = ["data.num_train=2000", "train.epochs=2"] if told.quick else []
    print(f"{machine()['cpu']}, {machine()['cores']} cores", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = (told.keep or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        sides = {
            "plain": plain(2 if told.quick else 12, is_best=False),
            "plain_best": plain(2 if told.quick else 12, is_best=True),
        }
        seeds = []
        for seed in range(1 if told.quick else told.seeds):
            seeds.append(lived(seed, folder, options))
            print(json.dumps(seeds[-1]), flush=True)
    figures = {**report(seeds, sides), "machine": machine()}
    is_ok = is_reached(figures) and not told.quick
    print(json.dumps({"bench": "cifar10", "figures": figures, "goal": GOALS, "ok": is_ok}))


if __name__ == "__main__":
    main()
