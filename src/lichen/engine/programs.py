"""programs: the executables that one value can become, and which of them is fastest here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lichen.core import machine
from lichen.core.errors import StepError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.engine import graph, race, runtimes

NATIVE = {"onnxruntime": "onnx", "openvino": "openvino"}
"""The format that each runtime reads as its own."""
Files = dict[str, dict[str, bytes]]
"""An executable's files by format."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner of a race, and the time of one row of every runner in ms with its best number of threads."""

    winner: str
    latency_ms: dict[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {ms:.3g} ms" for name, ms in self.latency_ms.items())


def build(source: Model | Program, files: Mapping[str, bytes], *, runtime: str, precision: str) -> Program:
    """A Program of a value's files, with that value's task and assets."""
    return Program.build(
        format="onnx" if "model.onnx" in files else "openvino", files=files, runtime=runtime,
        precision=precision, task=source.task or "", task_options=source.task_options, assets=source.assets,
        num_params=source.num_params, source=source.digest,
    )  # fmt: skip


def files_of(source: Model | Program) -> Files:
    """The files that a Program has, or the ONNX graph of a Model."""
    if isinstance(source, Program):
        return {source.format: {name: bytes(data) for name, data in source.files().items()}}
    return {"onnx": {"model.onnx": graph.onnx_of(source)}}


def candidates(
    source: Model | Program,
    files: Files,
    *,
    format: str = "auto",
    runtime: str = "auto",
    precisions: Sequence[str] = ("float32",),
) -> dict[str, Program]:
    """Programs by `runtime/precision`, the plainest first; `auto` leaves the format or the runtime open."""
    found = {}
    for name, native in NATIVE.items():
        wanted = native if format == "auto" else format
        if runtime not in ("auto", name) or (name == "onnxruntime" and wanted == "openvino"):
            continue
        if wanted == "openvino" and wanted not in files:
            files = {**files, wanted: graph.openvino_of(files["onnx"]["model.onnx"])}
        for precision in precisions:
            if wanted in files and not (precision == "bfloat16" and name != "openvino"):
                made = build(source, files[wanted], runtime=name, precision=precision)
                found[f"{name}/{precision}"] = made
    return found


def fastest(
    programs: Mapping[str, Program],
    *,
    run: Run,
    about: Mapping[str, Any],
    beside: Mapping[str, Program] | None = None,
) -> Choice:
    """Races Programs on this machine, a recorded decision; the first named wins near ties.

    Args:
        about: what the choice depends on beside the machine: net and shapes.
        beside: Programs that are timed too but cannot win.

    Raises:
        StepError: a recorded choice is not among the Programs.
    """
    others = dict(beside or {})
    question = {**about, "among": sorted(programs), "beside": sorted(others)}
    choice = Choice(**run.decide("runtime", lambda: asdict(raced(programs, others)), about=question))
    if choice.winner not in programs:
        raise StepError(f"the recorded choice `{choice.winner}` must be among {', '.join(programs)}")
    return choice


def raced(programs: Mapping[str, Program], beside: Mapping[str, Program] | None = None) -> Choice:
    """The race itself: all Programs with one thread, then all with every core; the better time counts."""
    everyone = {**programs, **(beside or {})}
    shape = next(iter(programs.values())).assets["image_shape"]
    # Apart: the idle threads of one runner would slow down the single thread of the next.
    found = [
        race.latencies_ms(_runners(everyone, threads), shape) for threads in sorted({1, machine.num_cores()})
    ]
    best = {name: min(times[name] for times in found) for name in everyone}
    return Choice(race.winner({name: best[name] for name in programs}), best)


def _runners(programs: Mapping[str, Program], threads: int) -> dict[str, race.Runner]:
    return {
        name: runtimes.load(program.runtime, program.files(), threads=threads, precision=program.precision)
        for name, program in programs.items()
    }


def about(source: Model | Program) -> dict[str, Any]:
    """What the speed of a value depends on beside the machine."""
    if isinstance(source, Program):
        return {"program": source.digest}
    shapes = {name: list(array.shape) for name, array in source.weights().items()}
    return {"net": source.net, "image_shape": list(source.assets["image_shape"]), "shapes": shapes}
