"""adapters: LoRA, DoRA and IA3 beside full fine-tuning, and beside plain peft with a plain loop.

An EfficientNet-lite0 with ImageNet's weights learns ten classes from a few CIFAR-10 pictures. Every side is a
process of its own, so that its peak memory is its own; all see the same rows at the same size with flips and
crops, and answer the same test rows. The peer is what a careful user of peft writes: `get_peft_model`, AdamW,
a warmup, a cosine and a loop, norms in eval mode, without which what it saves would not answer as what it
trained. It starts from the same head, which lichen trained alone on cached features.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import lichen as li
from lichen.core.session import Session, using
from lichen.core.store import Store
from lichen.engine import answer
from lichen.engine.task import task_of
from lichen.engine.training import adapters, supervised

NET = "tf_efficientnet_lite0"
METHODS = ("lora", "dora", "ia3")
SIDES = ("head", "full", *METHODS, "peft")
RANK, RATE = 8, 0.003
MARGIN, EXACT = 0.03, 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    size: int
    num_train: int
    num_test: int
    epochs: int


FULL = Plan(size=96, num_train=2000, num_test=4000, epochs=5)
QUICK = Plan(size=64, num_train=400, num_test=1000, epochs=3)
TINY = Plan(size=32, num_train=64, num_test=64, epochs=1)


def side(name: str, plan: Plan) -> dict[str, Any]:
    """One side's figures; run in a process of its own."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(os.path.join(folder, ".lichen"))
        with using(Session(store=store)):
            data = li.augment.policy(li.load("cifar10", num_train=plan.num_train), ops=["flip", "crop"])
            base = li.pretrain.load(data, net=f"timm/{NET}", weights=f"timm:{NET}", image_size=plan.size)
            if name == "peft":
                return theirs(base, data, plan)
            before, start = store.added_bytes, time.process_time()
            model = trained(name, base, data, plan)
            cpu_s, added = time.process_time() - start, store.added_bytes - before
        learnt = model.face["weights"] if model.is_adapted else model.weights()
        found = figures(answer.logits(model, tested(data, plan)[0]), data, plan)
        found.update(cpu_s=round(cpu_s, 1), stored_kB=round(added / 1000, 1), peak_MB=peak_MB())
        found["learnt"] = num_learnt(name, model, learnt)
        if name in METHODS:
            found["merged_error"] = merged_error(model, tested(data, plan)[0][:64])
        return found


def trained(name: str, base: li.Model, data: li.Dataset, plan: Plan) -> li.Model:
    if name == "head":
        return li.adapt.finetune(base, data, freeze="body", epochs=1, precision="float32")
    if name == "full":
        return li.adapt.finetune(base, data, epochs=plan.epochs, precision="float32")
    return li.adapt.adapter(base, data, method=name, rank=RANK, epochs=plan.epochs, precision="float32")


def num_learnt(name: str, model: li.Model, learnt: Any) -> int:
    """Numbers that a gradient changed."""
    if name in METHODS:
        return sum(math.prod(entry["shape"]) for entry in learnt.values())
    parameters = model.torch().named_parameters()
    return sum(own.numel() for key, own in parameters if name == "full" or key.startswith("head."))


def merged_error(model: li.Model, images: np.ndarray) -> float:
    """What merging changes, as a share of the largest output."""
    beside = supervised.outputs_of(adapters.beside(model), images, task_of(model.task), model.assets)
    merged = answer.logits(li.adapt.merge(model), images)
    return float(np.abs(beside - merged).max() / np.abs(beside).max())


def theirs(base: li.Model, data: li.Dataset, plan: Plan) -> dict[str, Any]:
    """The same LoRA by peft alone, in a plain loop."""
    import peft

    start = time.process_time()
    warmed = li.adapt.finetune(base, data, freeze="body", epochs=1, precision="float32")
    net, task, assets = warmed.torch(), task_of(base.task), base.assets
    names = "|".join(map(re.escape, adapters.targets(net, "lora")))
    torch.manual_seed(0)
    whole = peft.get_peft_model(net, peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=names))
    # Not by `modules_to_save`, which takes names for endings and would hit `conv_head` as well.
    net.head.requires_grad_(True)
    learning = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.01)
    batches = supervised.train_batches(data, assets["image_shape"], batch_size=None, seed=0)
    total = plan.epochs * batches.steps_per_epoch
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=total, pct_start=0.1)
    for epoch in range(plan.epochs):
        whole.train()
        for layer in whole.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        for x, y, *_ in batches.epoch(epoch):
            functional.cross_entropy(whole(task.inputs(x, assets)), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    cpu_s = time.process_time() - start
    stored = sum(parameter.numel() * parameter.element_size() for parameter in learning)
    images = tested(data, plan)[0]
    beside = supervised.outputs_of(whole.eval(), images, task, assets)
    merged = supervised.outputs_of(whole.merge_and_unload(), images[:64], task, assets)
    error = float(np.abs(beside[:64] - merged).max() / np.abs(beside[:64]).max())
    found = {**figures(beside, data, plan), "cpu_s": round(cpu_s, 1), "peak_MB": peak_MB()}
    learnt = sum(parameter.numel() for parameter in learning)
    return {**found, "stored_kB": round(stored / 1000, 1), "learnt": learnt, "merged_error": error}


def tested(data: li.Dataset, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    rows = data.rows("test")
    return rows.batch(np.arange(plan.num_test), plan.size), rows.targets[: plan.num_test]


def figures(outputs: np.ndarray, data: li.Dataset, plan: Plan) -> dict[str, Any]:
    share = float((outputs.argmax(1) == tested(data, plan)[1]).mean())
    half = 1.96 * math.sqrt(share * (1 - share) / plan.num_test)
    return {"accuracy": round(share, 4), "half_interval": round(half, 4)}


def peak_MB() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)


def is_good(found: dict[str, dict[str, Any]]) -> bool:
    """The bars: quality beside full fine-tuning and the peer, size, exactness."""
    lora, full, peer = found["lora"], found["full"], found["peft"]
    return bool(
        all(found[name]["merged_error"] <= EXACT for name in METHODS)
        and lora["accuracy"] >= min(full["accuracy"], peer["accuracy"]) - MARGIN
        and lora["learnt"] <= full["learnt"] / 5
        and all(found[name]["stored_kB"] <= full["stored_kB"] / 5 for name in METHODS)
        and lora["peak_MB"] <= 1.1 * peer["peak_MB"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller pictures, fewer epochs")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    parser.add_argument("--side", choices=SIDES, help="one side alone, as JSON")
    given = parser.parse_args()
    plan = TINY if given.tiny else QUICK if given.quick else FULL
    if given.side:
        print(json.dumps(side(given.side, plan)))
        return
    import peft

    print(f"torch {torch.__version__}, peft {peft.__version__}, {NET}, 1 thread, {plan}")
    size = ["--tiny"] if given.tiny else ["--quick"] if given.quick else []
    found = {}
    for name in SIDES:
        done = subprocess.run(
            [sys.executable, __file__, *size, "--side", name], stdout=subprocess.PIPE, check=True
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:6s}", "  ".join(f"{key} {figure:g}" for key, figure in found[name].items()), flush=True)
    goal = (
        "LoRA within 3 points of full fine-tuning or of plain peft, with a fifth of the numbers; each method"
        " stores a fifth of the bytes and merges to 1e-4; peak memory at most 1.1 times plain peft's"
    )
    print(json.dumps({"bench": "adapters", "figures": found, "goal": goal, "ok": is_good(found)}))


if __name__ == "__main__":
    main()
