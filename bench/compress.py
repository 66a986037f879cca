"""compress: a 224 px picture through ResNet-18 in int8 and pruned, beside torch and ONNX Runtime's int8.

There are no ImageNet weights of ResNet-18 here, so the net is trained for some minutes on CIFAR-10 pictures
at 224 px: its answers are real, and whether int8 keeps them is asked first, on test pictures. All sides take
the same uint8 picture, normalise it and answer; the peers quantize the very graph that lichen exports, after
the preparation that ONNX Runtime asks for, on the same calibration rows. One thread each, in one process,
each side warmed before each of its turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

import lichen as li
from lichen.core import machine, session
from lichen.engine import answer
from lichen.engine.compression import quantizers
from lichen.engine.modules import macs
from lichen.engine.programs import executables, graph, runtimes
from lichen.engine.scores import intervals

SIDE = 224
BATCH = 64
"""At this size 128 pictures and their gradients take 6 GB."""
GOALS = {
    "int8 over torch eager": 5.0,
    "int8 over onnxruntime static int8": 2.5,
    "int8 over onnxruntime dynamic int8": 2.5,
    "int8 over onnxruntime QDQ u8/s8 per channel": 1.0,
    "pruned int8 over torch eager": 10.0,
}
ROUND_TO = 32
"""Channels that int8 products take at once: 3x less work took 6.5 ms of CPU in multiples of 8, of 32 5.9."""
LEVEL = 0.97
"""Not slower: as fast as times can tell."""
DROP = 0.01
"""Of accuracy, paired, that int8 and the pruned net may have lost on the pictures asked."""

Runner = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    num_train: int
    validation: float
    """Of CIFAR-10's train rows: those that judge what is compressed."""
    epochs: int
    recovery: int
    num_asked: int
    num_calibration: int
    max_drop: float
    """What a step may lose on validation, which has few rows."""
    rounds: int


FULL = Plan(
    num_train=3000,
    validation=0.006,
    epochs=4,
    recovery=2,
    num_asked=500,
    num_calibration=100,
    max_drop=0.01,
    rounds=40,
)
QUICK = Plan(
    num_train=600,
    validation=0.002,
    epochs=2,
    recovery=1,
    num_asked=100,
    num_calibration=40,
    max_drop=0.04,
    rounds=15,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is compared: the trained net, and what lichen and ONNX Runtime make of it."""

    data: li.Dataset
    model: li.Model
    pruned: li.Model
    int8: li.Program
    pruned_int8: li.Program
    peers: Mapping[str, bytes]


def made(plan: Plan, speedup: float) -> Made:
    data = li.load("cifar10", num_train=plan.num_train, validation=plan.validation)
    flipped = li.augment.policy(data, ops=["flip"])
    model = li.pretrain.train(flipped, net="resnet18", image_size=SIDE, epochs=plan.epochs, batch_size=BATCH)
    pruned = li.compress.prune(
        model, flipped, speedup=speedup, round_to=ROUND_TO, epochs=plan.recovery, batch_size=BATCH
    )
    options = {"num_calibration": plan.num_calibration, "max_drop": plan.max_drop}
    return Made(
        data=data, model=model, pruned=pruned, int8=li.compress.quantize(model, data, **options),
        pruned_int8=li.compress.quantize(pruned, data, **options),
        peers=peers(graph.onnx_of(model), calibration(data, plan.num_calibration)),
    )  # fmt: skip


def calibration(data: li.Dataset, num_rows: int) -> np.ndarray:
    return data.rows("train").batch(np.arange(num_rows), SIDE)


def peers(onnx: bytes, rows: np.ndarray) -> dict[str, bytes]:
    """ONNX Runtime's own int8: its defaults as documented, and its best format."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, out = (Path(folder, f"{name}.onnx") for name in ("plain", "ready", "out"))
        plain.write_bytes(onnx)
        quant_pre_process(str(plain), str(ready))
        quantization.quantize_static(str(ready), str(out), Rows(rows))
        static = out.read_bytes()
        quantization.quantize_dynamic(str(ready), str(out))
        best = quantizers.by_onnxruntime(ready.read_bytes(), rows)["model.onnx"]
        return {
            "onnxruntime float32": onnx, "onnxruntime static int8": static,
            "onnxruntime dynamic int8": out.read_bytes(), "onnxruntime QDQ u8/s8 per channel": best,
        }  # fmt: skip


class Rows(quantization.CalibrationDataReader):
    def __init__(self, rows: np.ndarray) -> None:
        self.batches = iter(np.split(rows, range(20, len(rows), 20)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {graph.INPUT: batch}


def sides(found: Made) -> dict[str, Runner]:
    """Every side, one thread each."""
    with_files = {name: {"model.onnx": memoryview(onnx)} for name, onnx in found.peers.items()}
    ir = {name: memoryview(data) for name, data in graph.openvino_of(graph.onnx_of(found.model)).items()}
    return {
        "torch eager": eager(found.model, torch.contiguous_format),
        "torch eager channels_last": eager(found.model, torch.channels_last),
        **{name: runtimes.load("onnxruntime", files, threads=1) for name, files in with_files.items()},
        "openvino float32": runtimes.load("openvino", ir, threads=1),
        "lichen int8": answer.runner(found.int8, threads=1),
        "lichen pruned int8": answer.runner(found.pruned_int8, threads=1),
    }


def eager(model: li.Model, layout: torch.memory_format) -> Runner:
    """The plain module with its normalisation, as a user of torch runs it."""
    module = graph.Answering(model.torch(), graph.task_of(model.task), model.assets).eval()
    module = module.to(memory_format=layout)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(images)).numpy()

    return run


def medians_ms(
    runners: Mapping[str, Runner], images: np.ndarray, rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Median time of one picture by the clock and by the CPU, sides in turns, each warmed before its turn."""
    wall_s: dict[str, list[float]] = {name: [] for name in runners}
    cpu_s: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds):
        one = images[turn % len(images)][None]
        for name, run in runners.items():
            run(one)
            start, cpu_start = time.perf_counter(), time.process_time()
            run(one)
            wall_s[name].append(time.perf_counter() - start)
            cpu_s[name].append(time.process_time() - cpu_start)
    wall_ms, cpu_ms = ({name: round(1000 * statistics.median(taken), 3) for name, taken in times.items()}
                       for times in (wall_s, cpu_s))  # fmt: skip
    return wall_ms, cpu_ms


def kept(runners: Mapping[str, Runner], images: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, Any]]:
    """Per side: accuracy, agreement with torch, and what it lost, paired, with its 95 % interval."""
    said = {
        name: np.concatenate([run(one[None]) for one in images]).argmax(1) for name, run in runners.items()
    }
    right = {name: (answers == truth).astype(float) for name, answers in said.items()}
    found = {}
    for name, answers in said.items():
        loss = right["torch eager"] - right[name]
        found[name] = {
            "accuracy": round(float(right[name].mean()), 4),
            "agreement": round(float((answers == said["torch eager"]).mean()), 4),
            "drop": [round(float(x), 4) for x in (loss.mean(), *intervals.paired(loss))],
        }
    return found


def ratios_of(ms: Mapping[str, float]) -> dict[str, float]:
    peers = [name for name in ms if name.startswith(("torch eager", "onnxruntime", "openvino"))]
    ours = {"int8": "lichen int8", "pruned int8": "lichen pruned int8"}
    return {
        f"{short} over {peer}": round(ms[peer] / ms[mine], 2)
        for short, mine in ours.items()
        for peer in peers
    }


def resnet18(plan: Plan, speedup: float) -> dict[str, Any]:
    """The speed bars of ResNet-18, equal quality first."""
    found = made(plan, speedup)
    rows = found.data.rows("test")
    images, truth = rows.batch(np.arange(plan.num_asked), SIDE), rows.targets[: plan.num_asked]
    runners = sides(found)
    quality = kept(runners, images, truth)
    ms, cpu_ms = medians_ms(runners, images, plan.rounds)
    for name in runners:
        print(f"{name:36s} {ms[name]:8.2f} ms, CPU {cpu_ms[name]:8.2f} ms   {quality[name]}")
    ratios, by_cpu = ratios_of(ms), ratios_of(cpu_ms)
    work = [macs.count(one.torch(), [3, SIDE, SIDE]) for one in (found.model, found.pruned)]
    is_equal = all(quality[name]["drop"][0] <= DROP for name in ("lichen int8", "lichen pruned int8"))
    is_fast = all(ratios[name] >= goal * (LEVEL if goal == 1.0 else 1.0) for name, goal in GOALS.items())
    figures = {
        "ms": ms, "ratios": {name: ratios[name] for name in GOALS},
        "ratios by CPU": {name: by_cpu[name] for name in GOALS}, "quality": quality,
        "macs": [*work, round(work[0] / work[1], 2)], "int8 runs on": found.int8.runtime,
        "int8 layers": layers_of(found.int8), "equal quality": is_equal,
    }  # fmt: skip
    return {"figures": figures, "goal": GOALS, "ok": is_equal and is_fast}


def layers_of(program: li.Program) -> dict[str, int]:
    """How many layers run in which arithmetic, as OpenVINO says after it compiled them; {} elsewhere."""
    if program.runtime != "openvino":
        return {}
    files = program.files()
    network = openvino.Core().read_model(bytes(files["model.xml"]), bytes(files["model.bin"]))
    hint = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(network, "CPU", hint)
    counts: dict[str, int] = {}
    for layer in compiled.get_runtime_model().get_ordered_ops():
        facts = layer.get_rt_info()
        name = f"{facts['layerType'].astype(str)} {facts['runtimePrecision'].astype(str)}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def plain(model: li.Model) -> li.Program:
    """The float32 form of a model that ONNX Runtime runs."""
    return executables.candidates(model, executables.files_of(model), runtime="onnxruntime")[
        "onnxruntime/float32"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows, epochs and rounds")
    parser.add_argument("--speedup", type=float, default=3.0, help="of pruning ResNet-18, in work")
    parser.add_argument("--store", help="keep what was made here, so that a second run only measures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, session.opened(given.store or Path(folder, ".lichen")):
        found = resnet18(QUICK if given.quick else FULL, given.speedup)
    facts = machine.environment()
    print(
        f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__},"
        f" 1 thread; {facts['cpu']}, {' '.join(facts['flags'])}{', busy' if machine.is_busy() else ''}"
    )
    print(json.dumps({"bench": "compress", **found}))


if __name__ == "__main__":
    main()
