"""finetune: tf_efficientnet_lite0 on 2 000 CIFAR-10 pictures, against a plain timm script of equal CPU time.

One process, one thread. `lichen` goes first and its CPU seconds (features, measuring, judging and all) become
the script's budget: that times its first steps and plans as many epochs, never fewer than one. Both see the
same rows at the same size with flips and crops, and answer the same test rows. The script is what a careful
user
writes: weights as given, channels_last (faster here; bfloat16 was slower), AdamW with warmup and cosine, a
tuned rate, ten times that for the head, norms in eval mode (it was tuned both ways). `scratch` is the same
lichen life with random weights.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass

import numpy as np
import timm
import torch
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

import lichen as li
from lichen.data import pretrained as places
from lichen.engine import answer
from lichen.engine.modules import pretrained

NET = "tf_efficientnet_lite0"
MARGIN = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    size: int
    num_train: int
    num_test: int
    epochs: int


FULL = Plan(size=96, num_train=2000, num_test=4000, epochs=5)
QUICK = Plan(size=64, num_train=2000, num_test=2000, epochs=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The peer's settings."""

    rate: float = 5e-4
    head_factor: float = 10.0
    weight_decay: float = 0.01
    batch_size: int = 32
    warmup: float = 0.1
    is_norm_frozen: bool = True


def ours(data: li.Dataset, plan: Plan, weights: str | None) -> tuple[li.Model, float]:
    """The model of the lichen life and its CPU seconds, from the loaded weights on."""
    start = time.process_time()
    model = li.pretrain.load(data, net=f"timm/{NET}", weights=weights, image_size=plan.size)
    model = li.adapt.finetune(model, data, epochs=plan.epochs, freeze="norms" if weights else "none")
    return model, time.process_time() - start


def theirs(
    images: torch.Tensor, targets: torch.Tensor, budget_s: float, script: Script, num_classes: int
) -> tuple[nn.Module, dict[str, float]]:
    """A plain loop over timm's net for `budget_s` CPU seconds."""
    torch.manual_seed(0)
    start = time.process_time()
    net = timm.create_model(NET)
    found = pretrained.read(places.resolve(NET)).tensors
    net.load_state_dict(dict(zip(net.state_dict(), found.values(), strict=True)))
    net.reset_classifier(num_classes)
    net.to(memory_format=torch.channels_last)
    head = list(net.get_classifier().parameters())
    body = [parameter for name, parameter in net.named_parameters() if not name.startswith("classifier")]
    optimizer = torch.optim.AdamW(
        [{"params": body, "scale": 1.0}, {"params": head, "scale": script.head_factor}],
        lr=script.rate, weight_decay=script.weight_decay,
    )  # fmt: skip
    side = images.shape[-1]
    varied = v2.Compose([v2.RandomCrop(side, side // 8, padding_mode="reflect"), v2.RandomHorizontalFlip()])
    done, total, per_epoch = 0, None, math.ceil(len(images) / script.batch_size)
    while total is None or done < total:
        for rows in torch.randperm(len(images)).split(script.batch_size):
            _modes(net, script.is_norm_frozen)
            share = _cosine(done, total or per_epoch * 3, script.warmup)
            for group in optimizer.param_groups:
                group["lr"] = script.rate * group["scale"] * share
            x = prepared(torch.stack([varied(image) for image in images[rows]]))
            functional.cross_entropy(net(x), targets[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            if total is None and done == 10:
                step_s = (time.process_time() - start) / done
                total = max(per_epoch, round(budget_s / step_s))
            if total is not None and done >= total:
                break
    return net.eval(), {"epochs": round(done / per_epoch, 2), "cpu_s": round(time.process_time() - start, 1)}


def _modes(net: nn.Module, is_norm_frozen: bool) -> None:
    net.train()
    for layer in net.modules():
        if is_norm_frozen and isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def _cosine(step: int, total: int, warmup: float) -> float:
    rising = max(1, round(warmup * total))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def prepared(images: torch.Tensor) -> torch.Tensor:
    return (images.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)


def answers(net: nn.Module, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([net(prepared(part)).argmax(1) for part in images.split(64)]).numpy()


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval of differences paired by row."""
    reach = 1.96 * differences.std(ddof=1) / math.sqrt(len(differences))
    return differences.mean(), differences.mean() - reach, differences.mean() + reach


def measured(plan: Plan, script: Script) -> dict[str, object]:
    data = li.augment.policy(li.load("cifar10", num_train=plan.num_train), ops=["flip", "crop"])
    rows, test = data.rows("train"), data.rows("test")
    images, targets = torch.from_numpy(rows.at_size(plan.size).copy()), torch.from_numpy(rows.targets.copy())
    asked = np.arange(plan.num_test)
    asked_images, truth = test.batch(asked, plan.size), test.targets[asked]
    data.rows("validation").batch(np.arange(1), plan.size)
    right: dict[str, np.ndarray] = {}
    model, budget_s = ours(data, plan, f"timm:{NET}")
    right["lichen"] = answer.logits(model, asked_images).argmax(1) == truth
    net, spent = theirs(images, targets, budget_s, script, len(data.labels))
    right["script"] = answers(net, torch.from_numpy(asked_images)) == truth
    scratch, scratch_s = ours(data, plan, None)
    right["scratch"] = answer.logits(scratch, asked_images).argmax(1) == truth
    gain = interval(right["lichen"].astype(float) - right["scratch"])
    against = interval(right["lichen"].astype(float) - right["script"])
    return {
        **{name: round(float(found.mean()), 4) for name, found in right.items()},
        "gain_over_scratch": [round(float(x), 4) for x in gain],
        "lichen_minus_script": [round(float(x), 4) for x in against],
        "cpu_s": {"lichen": round(budget_s, 1), "script": spent["cpu_s"], "scratch": round(scratch_s, 1)},
        "epochs": {"lichen": plan.epochs, "script": spent["epochs"]},
        "size": plan.size, "test_rows": plan.num_test,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    plan = QUICK if parser.parse_args().quick else FULL
    torch.set_num_threads(1)
    figures = measured(plan, Script())
    print(f"torch {torch.__version__}, timm {timm.__version__}, 1 thread")
    for name, figure in figures.items():
        print(f"{name:20s} {figure}")
    is_close = figures["lichen"] >= figures["script"] - MARGIN  # type: ignore[operator]
    print(
        json.dumps(
            {
                "bench": "finetune",
                "figures": figures,
                "goal": "within 3 points of a tuned timm script at equal CPU time, and better than scratch",
                "ok": bool(is_close and figures["gain_over_scratch"][1] > 0),
            }
        )
    )  # type: ignore[index]


if __name__ == "__main__":
    main()
