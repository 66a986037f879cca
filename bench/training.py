"""training: lichen beside Hugging Face Trainer, Lightning and Keras: a ResNet-18, and an MLP by `--case mlp`.

The ResNet-18 learns CIFAR-10 in memory. The MLP learns scikit-learn's digits with one hidden layer of 100,
the size of its MLPClassifier, in batches of 32: there a step is dispatch and hardly any arithmetic.

Same net (3x3 stem, 11.2 M parameters), rows, normalisation, batch 128, epochs, SGD with Nesterov momentum
0.9, decay 5e-4 on weights and none on norms, peak rate 0.05 falling along a cosine; no augmentation. Torch
sides train the very same module. Each peer stands here twice: at its defaults and at its documented best:
  Hugging Face Trainer: bf16, torch_compile (a fifth faster once compiled), no saving, whole batches collated
  Lightning: bf16-mixed, channels_last, fused SGD, no logger, no checkpoints, whole batches collated
  Keras: mixed_bfloat16, tf.data cached and prefetched, jit_compile=False (XLA is half as fast with bf16)
Worker processes are left out: they take cores from the arithmetic. Wall and CPU seconds per epoch, epochs by
turns; the first (set-up, compilation, measuring) counts in the whole run only.

Floor: a picture is 0.556 GMAC forward, three times that with the backward pass, two operations each: 3.34
GFLOP. The script times the net's own 3x3 convolutions and a matrix product, beside what lichen reached.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from statistics import median
from typing import Any

from interleaved import SOURCE, Gate, Laps, compare

RATE, DECAY, MOMENTUM = 0.05, 5e-4, 0.9
FLOP_PER_IMAGE = 3 * 2 * 0.5556e9
SEED_DEVIATION = 0.015
"""Of test accuracy between seeds after so few epochs: assumed, on top of the noise of the test rows."""
SIDES = {
    "lichen": "torch", "hf": "transformers", "hf_best": "transformers", "lightning": "lightning",
    "lightning_best": "lightning", "keras": "tensorflow", "keras_best": "tensorflow",
}  # fmt: skip
"""Side -> the package that it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is trained.

    Args:
        num_train: pictures per epoch, and with --quick. epochs: likewise.
        goals: how many times as many pictures per second lichen must train as each side, in steady epochs.
    """

    source: str
    net: str
    options: Mapping[str, Any]
    shape: tuple[int, int, int]
    batch: int
    num_train: tuple[int, int]
    num_test: int
    epochs: tuple[int, int]
    goals: Mapping[str, float]


CASES = {
    "resnet18": Case(
        source="cifar10", net="resnet18", options={}, shape=(3, 32, 32), batch=128, num_train=(4096, 512),
        num_test=2000, epochs=(4, 2),
        goals={"hf": 2.3, "lightning": 2.3, "keras": 1.5, "hf_best": 1.0, "lightning_best": 1.0,
               "keras_best": 1.0},
    ),
    "mlp": Case(
        source="digits", net="mlp", options={"width": 100, "depth": 1}, shape=(1, 8, 8), batch=32,
        num_train=(1280, 1280), num_test=300, epochs=(120, 20),
        goals={"hf": 6.0, "lightning": 5.0, "hf_best": 1.0, "lightning_best": 1.0},
    ),
}  # fmt: skip
PACKAGES = ("torch", "transformers", "accelerate", "lightning", "keras", "tensorflow-cpu")

# The data: every side gets the same bytes.


def write_rows(path: Path, case: str, num_train: int, num_test: int) -> None:
    """The first rows of a case's source as one file of arrays."""
    import numpy as np

    import lichen as li

    data = li.load(CASES[case].source, num_train=num_train)
    train, test = data.rows("train"), data.rows("test")
    first = np.arange(num_test)
    np.savez(
        path, x=train.batch(np.arange(num_train), None), y=train.targets[:num_train],
        test_x=test.batch(first, None), test_y=test.targets[:num_test], labels=np.array(data.labels),
        case=case,
    )  # fmt: skip


class Rows:
    """The arrays, uint8 (N, C, H, W), and what normalises them."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        held = np.load(path)
        self.x, self.y = held["x"], held["y"].astype("int64")
        self.test_x, self.test_y = held["test_x"], held["test_y"].astype("int64")
        self.labels = held["labels"].tolist()
        self.mean = (self.x.mean((0, 2, 3), dtype="float64") / 255).astype("float32")
        self.std = (self.x.std((0, 2, 3), dtype="float64") / 255).astype("float32")
        self.case = CASES[str(held["case"])]
        self.batch = self.case.batch
        self.num_steps = math.ceil(len(self.x) / self.batch)

    def normalised(self, x: Any) -> Any:
        """float32 of mean 0 and deviation 1, of uint8 pictures (N, C, H, W)."""
        return (x.astype("float32") / 255 - self.mean[:, None, None]) / self.std[:, None, None]


# lichen.


def lichen(rows: Rows, epochs: int, gate: Gate, is_best: bool) -> dict[str, Any]:
    import lichen as li

    def sink(event: Mapping[str, Any]) -> None:
        if event["kind"] == "history":
            gate()
        elif event["kind"] == "decision":
            decisions[event["name"]] = event["choice"]

    decisions: dict[str, Any] = {}
    gate.open()
    data = li.arrays(rows.x, rows.y, rows.labels, ["train"] * len(rows.x))
    with li.opened("store", sinks=(sink,)):
        model = li.pretrain.train(
            data, net=rows.case.net, net_options=dict(rows.case.options), epochs=epochs,
            batch_size=rows.batch, optimizer="sgd", rate=RATE, weight_decay=DECAY, momentum=MOMENTUM,
            schedule="cosine",
        )  # fmt: skip
    gate.end()
    return {"accuracy": accuracy(model.torch(), rows), "decisions": decisions}


# The torch peers.


def net_of(case: Case) -> Any:
    import torch

    from lichen.nets import mlp, resnet

    torch.manual_seed(0)
    build = {"resnet18": resnet.build, "mlp": mlp.build}[case.net]
    return build(in_shape=case.shape, num_outputs=10, **case.options)


def accuracy(net: Any, rows: Rows) -> float:
    """Of a torch net in float32 on the test rows."""
    import torch

    net = net.to("cpu", torch.float32).eval()
    inputs = torch.from_numpy(rows.normalised(rows.test_x))
    with torch.inference_mode():
        answers = torch.cat([net(part).argmax(1) for part in inputs.split(250)])
    return float((answers.numpy() == rows.test_y).mean())


def pictures(rows: Rows, names: tuple[str, str] | None, is_batched: bool) -> Any:
    """A map-style dataset that normalises a row when asked, or (batched) all rows of a batch at once.

    Args:
        names: of the columns of a row as a mapping; None: a row is a pair.
    """
    import torch
    from torch.utils.data import Dataset

    x, y = torch.from_numpy(rows.x), torch.from_numpy(rows.y)
    scale = torch.from_numpy(1 / (255 * rows.std))[:, None, None]
    shift = torch.from_numpy(-rows.mean / rows.std)[:, None, None]

    class Pictures(Dataset):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, row: Any) -> Any:
            pair = (torch.addcmul(shift, x[row].float(), scale), y[row])
            return dict(zip(names, pair, strict=True)) if names else pair

    class Batched(Pictures):
        __getitems__ = Pictures.__getitem__

    return Batched() if is_batched else Pictures()


def hf(rows: Rows, epochs: int, gate: Gate, is_best: bool) -> dict[str, Any]:
    from torch import nn
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net_of(rows.case)

        def forward(self, pixel_values: Any, labels: Any = None) -> dict[str, Any]:
            logits = self.net(pixel_values)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Turns(TrainerCallback):
        def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
            gate()

    gate.open()
    best: dict[str, Any] = {}
    if is_best:
        best = {"bf16": True, "torch_compile": True, "save_strategy": "no", "logging_strategy": "no",
                "remove_unused_columns": False}  # fmt: skip
    arguments = TrainingArguments(
        "hf", use_cpu=True, num_train_epochs=epochs, per_device_train_batch_size=rows.batch, optim="sgd",
        optim_args=f"momentum={MOMENTUM},nesterov=True", learning_rate=RATE, weight_decay=DECAY,
        lr_scheduler_type="cosine", max_grad_norm=0, report_to=[], disable_tqdm=True, **best,
    )  # fmt: skip
    whole = {"data_collator": lambda batch: batch} if is_best else {}
    trainer = Trainer(
        Classifier(), arguments, train_dataset=pictures(rows, ("pixel_values", "labels"), is_batched=is_best),
        callbacks=[Turns()], **whole,
    )  # fmt: skip
    trainer.train()
    gate.end()
    return {"accuracy": accuracy(trainer.model.net, rows)}


def lightning(rows: Rows, epochs: int, gate: Gate, is_best: bool) -> dict[str, Any]:
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch.utils.data import DataLoader

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net_of(rows.case)

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            if is_best:
                x = x.to(memory_format=torch.channels_last)
            return torch.nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> Any:
            tensors = list(self.parameters())
            groups = [{"params": [p for p in tensors if p.ndim > 1], "weight_decay": DECAY},
                      {"params": [p for p in tensors if p.ndim == 1], "weight_decay": 0.0}]  # fmt: skip
            made = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, nesterov=True, fused=is_best or None)
            falling = torch.optim.lr_scheduler.CosineAnnealingLR(made, epochs * rows.num_steps)
            return {"optimizer": made, "lr_scheduler": {"scheduler": falling, "interval": "step"}}

    class Turns(Callback):
        def on_train_epoch_end(self, *args: Any) -> None:
            gate()

    gate.open()
    best = {"precision": "bf16-mixed", "logger": False, "enable_checkpointing": False} if is_best else {}
    trainer = Trainer(accelerator="cpu", max_epochs=epochs, default_root_dir="lightning", callbacks=[Turns()],
                      enable_progress_bar=False, **best)  # fmt: skip
    whole = {"collate_fn": lambda batch: batch} if is_best else {}
    net = Classifier()
    trainer.fit(net.to(memory_format=torch.channels_last) if is_best else net,
                DataLoader(pictures(rows, None, is_best), rows.batch, shuffle=True, **whole))  # fmt: skip
    gate.end()
    return {"accuracy": accuracy(net.net, rows)}


# Keras.


def keras_resnet18() -> Any:
    import keras
    from keras import layers

    def convolution(x: Any, width: int, side: int, stride: int) -> Any:
        start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        x = layers.Conv2D(width, side, stride, "same", use_bias=False, kernel_initializer=start)(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def block(x: Any, width: int, stride: int) -> Any:
        y = layers.ReLU()(convolution(x, width, 3, stride))
        y = convolution(y, width, 3, 1)
        shortcut = convolution(x, width, 1, stride) if stride != 1 or x.shape[-1] != width else x
        return layers.ReLU()(layers.Add()([y, shortcut]))

    start = x = keras.Input((32, 32, 3))
    x = layers.ReLU()(convolution(x, 64, 3, 1))
    for stage in range(4):
        x = block(x, 64 * 2**stage, 1 if stage == 0 else 2)
        x = block(x, 64 * 2**stage, 1)
    logits = layers.Dense(10, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(start, logits)


def keras(rows: Rows, epochs: int, gate: Gate, is_best: bool) -> dict[str, Any]:
    import keras as library

    class Turns(library.callbacks.Callback):
        def on_epoch_end(self, *args: Any) -> None:
            gate()

    gate.open()
    library.utils.set_random_seed(0)
    if is_best:
        library.config.set_dtype_policy("mixed_bfloat16")
    net = keras_resnet18()
    # Keras decays apart from the gradient; momentum multiplies torch's form of it by 1 / (1 - momentum).
    falling = library.optimizers.schedules.CosineDecay(RATE, epochs * rows.num_steps)
    made = library.optimizers.SGD(falling, MOMENTUM, nesterov=True, weight_decay=DECAY / (1 - MOMENTUM))
    made.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(made, loss, jit_compile=False if is_best else "auto")
    train = tf_batches(rows) if is_best else _channels_last(rows.normalised(rows.x))
    fed = {"x": train} if is_best else {"x": train, "y": rows.y, "batch_size": rows.batch}
    net.fit(**fed, epochs=epochs, verbose=0, callbacks=[Turns()])
    gate.end()
    answers = net.predict(_channels_last(rows.normalised(rows.test_x)), batch_size=250, verbose=0).argmax(1)
    return {"accuracy": float((answers == rows.test_y).mean())}


def _channels_last(x: Any) -> Any:
    return x.transpose(0, 2, 3, 1).copy()


def tf_batches(rows: Rows) -> Any:
    """tf.data as its performance guide has it: cached, shuffled, batched, then prefetched."""
    import tensorflow as tf

    x = _channels_last(rows.normalised(rows.x))
    data = tf.data.Dataset.from_tensor_slices((x, rows.y)).cache()
    return data.shuffle(len(x)).batch(rows.batch).prefetch(tf.data.AUTOTUNE)


# One side, and all of them.


def run_side(side: str, folder: Path, epochs: int) -> None:
    gate = Gate()
    name, _, form = side.partition("_")
    kind = {"lichen": lichen, "hf": hf, "lightning": lightning, "keras": keras}[name]
    gate.tell(**kind(Rows(folder / "rows.npz"), epochs, gate, form == "best"))


def run_all(sides: list[str], case: str, num_images: int, num_test: int, epochs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_rows(folder / "rows.npz", case, num_images, num_test)
        arguments = ["--folder", name, "--epochs", str(epochs)]
        laps = compare(
            __file__, sides, arguments, epochs=epochs, folder=folder, note=partial(print, flush=True)
        )
    figures = {side: figures_of(taken, num_images, epochs) for side, taken in laps.items()}
    for side, ratio in ratios(figures).items():
        figures[side]["lichen_is_faster"] = ratio
    return figures


def figures_of(laps: Laps, num_images: int, epochs: int) -> dict[str, Any]:
    """Pictures per second: median of the steady epochs, and of the whole run."""
    return {
        "images_per_s": num_images / median(laps.wall_s[1:epochs]),
        "images_per_cpu_s": num_images / median(laps.cpu_s[1:epochs]),
        "whole_images_per_s": epochs * num_images / sum(laps.wall_s),
        "first_epoch_s": laps.wall_s[0],
        "epochs_s": laps.wall_s[1:epochs],
        **laps.facts,
    }


def ratios(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times as fast lichen is as each peer."""
    kinds = ("images_per_s", "images_per_cpu_s", "whole_images_per_s")
    return {
        side: {kind: figures["lichen"][kind] / own[kind] for kind in kinds}
        for side, own in figures.items() if side != "lichen"
    }  # fmt: skip


def quality_margin(accuracy: float, num_test: int) -> float:
    """Two deviations of the difference between two such accuracies."""
    return 2 * math.sqrt(2 * (accuracy * (1 - accuracy) / num_test + SEED_DEVIATION**2))


def floor(threads: tuple[int, ...] = (1, 2)) -> dict[str, float]:
    """GFLOP/s of this machine by torch: the better of one thread and all, on the shapes of the net."""
    import torch

    found: dict[str, float] = {}
    for count in threads:
        torch.set_num_threads(count)
        for kind in (torch.float32, torch.bfloat16):
            name = str(kind).removeprefix("torch.")
            for what, rate in {"gemm": gemm_rate, "conv": conv_rate}.items():
                found[f"{what}_{name}"] = max(found.get(f"{what}_{name}", 0.0), rate(kind))
    return found


def gemm_rate(kind: Any, side: int = 2048) -> float:
    import torch

    a, b = (torch.randn(side, side).to(kind) for _ in range(2))
    return 2 * side**3 / shortest(lambda: a @ b) / 1e9


def conv_rate(kind: Any) -> float:
    """Of 3x3 convolutions as the four stages have them, forward and backward together."""
    import torch

    total_s, total = 0.0, 0.0
    for width, side in ((64, 32), (128, 16), (256, 8), (512, 4)):
        x, gradient = (
            torch.randn(128, width, side, side).to(kind).contiguous(memory_format=torch.channels_last)
            for _ in range(2)
        )
        layer = torch.nn.Conv2d(width, width, 3, padding=1, bias=False).to(
            kind, memory_format=torch.channels_last
        )
        total_s += shortest(lambda: layer(x.requires_grad_()).backward(gradient))  # noqa: B023
        total += 3 * 2 * 128 * (3 * width * side) ** 2
    return total / total_s / 1e9


def shortest(work: Callable[[], Any], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def report(figures: Mapping[str, Mapping[str, Any]]) -> None:
    heads = ("images/s", "per CPU s", "whole run", "accuracy")
    print(f"\n{'side':16}" + "".join(f"{head:>11}" for head in heads) + "   lichen is faster, times")
    for side, own in figures.items():
        print(f"{side:16}{own['images_per_s']:11.1f}{own['images_per_cpu_s']:11.1f}"
              f"{own['whole_images_per_s']:11.1f}{own['accuracy']:11.3f}   {_times(own)}")  # fmt: skip


def _times(own: Mapping[str, Any]) -> str:
    ratios = own.get("lichen_is_faster")
    if ratios is None:
        return str(own.get("decisions", ""))
    return "wall {images_per_s:.2f}  CPU {images_per_cpu_s:.2f}  whole {whole_images_per_s:.2f}".format(
        **ratios
    )


def judged(
    figures: Mapping[str, Mapping[str, Any]], goals: Mapping[str, float], num_test: int
) -> dict[str, bool]:
    """Per peer: equal quality (lichen not below it by more than noise) and the goal reached."""
    own = figures["lichen"]["accuracy"]
    return {
        side: own >= figures[side]["accuracy"] - quality_margin(own, num_test)
        and figures[side]["lichen_is_faster"]["images_per_s"] >= goal
        for side, goal in goals.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer pictures and epochs")
    parser.add_argument("--case", choices=list(CASES), default="resnet18")
    parser.add_argument("--images", type=int, help="train pictures per epoch")
    parser.add_argument("--epochs", type=int, help="the first is not steady")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    sys.path.insert(0, str(SOURCE))
    from lichen.core.machine import environment

    if told.side:
        return run_side(told.side, told.folder, told.epochs)
    case = CASES[told.case]
    sides = [side for side in SIDES if side in {*told.sides, "lichen"} and side in {*case.goals, "lichen"}]
    missing = sorted({SIDES[side] for side in sides if not util.find_spec(SIDES[side])})
    if missing or not os.environ.get("LICHEN_DATA"):
        sys.exit(f"error: needs LICHEN_DATA with cifar10 in it, and {', '.join(missing) or 'nothing else'}")
    num_images, num_test = told.images or case.num_train[told.quick], case.num_test
    epochs = told.epochs or case.epochs[told.quick]
    print(f"{environment()['cpu']}, {environment()['cores']} cores; {versions()}")
    figures = run_all(sides, told.case, num_images, num_test, epochs)
    report(figures)
    bare = against_floor(figures["lichen"]["images_per_s"]) if told.case == "resnet18" else {}
    goals = {side: case.goals[side] for side in sides if side in case.goals}
    passed = judged(figures, goals, num_test)
    print(json.dumps({
        "bench": "training",
        "figures": {"sides": figures, **bare, "case": told.case, "passed": passed,
                    "images": num_images, "epochs": epochs,
                    "machine": environment(), "versions": versions()},
        "goal": goals, "ok": all(passed.values()) and len(goals) == len(case.goals),
    }))  # fmt: skip


def against_floor(images_per_s: float) -> dict[str, Any]:
    """What the machine could do at most, and which part of it was done."""
    rates = floor()
    share = images_per_s * FLOP_PER_IMAGE / 1e9
    part = share / rates["conv_bfloat16"]
    print(f"floor: lichen {share:.0f} GFLOP/s, {part:.0%} of bare bfloat16 convolutions; {whole(rates)}")
    return {"floor_gflops": rates, "lichen_gflops": share, "share_of_conv_bfloat16": part}


def whole(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())


def versions() -> dict[str, str]:
    from lichen import __version__

    found = {"lichen": __version__}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


if __name__ == "__main__":
    main()
