"""prune: a trained ResNet-56 on CIFAR-10, pruned by measured latency and quantized: what it kept and gained.

The life is that of `recipes/cifar10.yaml`; what the nearest store holds is not computed again. The peer
figure is Torch-Pruning's own: at 2.13x fewer multiply-accumulates its latency gain is 0.57 of that. Latency
is of batch 1, before and after pruning by turns in the same runtime, one thread; int8 beside both.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import lichen as li
from lichen.core import recipefile
from lichen.engine.modules import macs
from lichen.engine.programs import executables, race, runtimes

RECIPE = Path(__file__).parents[1] / "recipes" / "cifar10.yaml"
ACCURACY, WORK, SHARE, DROP, MINUTES = 0.93, 2.1, 0.85, 0.002, 60.0
"""Goals: test accuracy, fewer multiply-accumulates, latency's share of that gain, int8's loss, CPU time."""
QUICK = {"speedup": 1.3, "epochs": 1}


def options() -> dict[str, dict[str, Any]]:
    """Of each step of the recipe, by its address."""
    return {line.step: dict(line.options) for line in recipefile.read(RECIPE).lines}


def float_program(model: li.Model, runtime: str) -> li.Program:
    return executables.candidates(model, executables.files_of(model), runtime=runtime)[f"{runtime}/float32"]


def latencies_ms(values: dict[str, li.Program], races: int) -> dict[str, float]:
    """The shortest of the lower quartiles of some races, all by turns on one thread."""
    runners = {
        name: runtimes.load(value.runtime, value.files(), threads=1, precision=value.precision)
        for name, value in values.items()
    }
    found = [race.latencies_ms(runners, np.zeros((3, 32, 32), np.uint8)) for _ in range(races)]
    return {name: min(times[name] for times in found) for name in values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="ResNet-20, 2 000 rows, one epoch, no goal on quality"
    )
    parser.add_argument("--races", type=int, default=5)
    asked = parser.parse_args()
    told = options()
    prune = {**told["compress.prune"], **(QUICK if asked.quick else {})}
    net = "resnet20" if asked.quick else "resnet56"
    data = li.load(**{**told["prepare.load"], **({"num_train": 2000} if asked.quick else {})})
    data = li.augment.policy(data, **told["augment.policy"])
    whole = li.pretrain.load(data, net=net, weights=f"pretrained/cifar_resnet/{net}.safetensors")
    start = time.process_time()
    slim = li.compress.prune(whole, data, **prune)
    minutes = (time.process_time() - start) / 60
    small = li.compress.quantize(slim, data, **told["compress.quantize"])
    runtime = prune.get("runtime", "onnxruntime")
    found_ms = latencies_ms(
        {"whole": float_program(whole, runtime), "pruned": float_program(slim, runtime), "int8": small},
        asked.races,
    )
    scores = {name: li.evaluate(value, data, split="test") for name, value in
              (("whole", whole), ("pruned", slim), ("int8", small))}  # fmt: skip
    right = {name: each.answers()["outcome"].numpy() for name, each in scores.items()}
    lost = right["pruned"] - right["int8"]
    reach = 1.96 * float(lost.std(ddof=1)) / len(lost) ** 0.5
    work = macs.count(whole.torch(), (3, 32, 32)) / macs.count(slim.torch(), (3, 32, 32))
    gain = found_ms["whole"] / found_ms["pruned"]
    figures = {
        "accuracy": {name: round(each.value, 4) for name, each in scores.items()},
        "fewer_macs": round(work, 3), "latency_gain": round(gain, 3),
        "share_of_the_gain": round(gain / work, 3), "latency_ms": found_ms,
        "int8_drop": [round(float(lost.mean()) + side * reach, 4) for side in (0, -1, 1)],
        "cpu_minutes_of_pruning": round(minutes, 1), "runtime": runtime, "int8_runtime": small.runtime,
    }  # fmt: skip
    is_fast = work >= WORK and gain >= SHARE * work
    is_good = scores["pruned"].value >= ACCURACY and lost.mean() <= DROP and minutes <= MINUTES
    goal = (
        f">= {ACCURACY:.1%} at >= {WORK}x, latency >= {SHARE} of that, int8 drop <= {DROP:.1%},"
        f" <= {MINUTES:g} CPU minutes"
    )
    print(json.dumps({
        "bench": "prune", "figures": figures, "goal": "faster" if asked.quick else goal,
        "ok": bool(gain > 1.0 if asked.quick else is_fast and is_good),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
