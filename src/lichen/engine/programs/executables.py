"""executables: the executables that one value can become, and which of them is fastest here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lichen.core import machine
from lichen.core.errors import StepError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.engine.inputs import feeds
from lichen.engine.programs import executorchfile, gptfile, graph, race, runtimes, torchfile

READS = {"onnxruntime": ("onnx",), "openvino": ("openvino", "onnx"), "executorch": ("executorch",),
         "torch": ("torch",)}  # fmt: skip
"""The formats that each runtime reads, its own first."""
RACED = ("onnxruntime", "openvino")
"""Runtimes that are tried where none is named; a phone's program and an archive of torch's are asked for."""
FORMATS = {"model.onnx": "onnx", "model.xml": "openvino", executorchfile.NAME: "executorch",
           torchfile.NAME: "torch"}  # fmt: skip
"""The format that a file's name tells."""
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
        format=next(FORMATS[name] for name in files if name in FORMATS), files=files, runtime=runtime,
        precision=precision, task=source.task or "", task_options=source.task_options, assets=source.assets,
        num_params=source.num_params, source=source.digest,
    )  # fmt: skip


def files_of(source: Model | Program, format: str = "onnx") -> Files:
    """The files that a Program has, or those of a Model in one format."""
    if isinstance(source, Program):
        return {source.format: {name: bytes(data) for name, data in source.files().items()}}
    if format == "torch":
        return {format: {torchfile.NAME: graph.torch_of(source)}}
    if format == "executorch":
        return {format: {executorchfile.NAME: graph.executorch_of(source)}}
    written = gptfile.of(source) if gptfile.is_for(source) else graph.onnx_of(source)
    return {"onnx": {"model.onnx": written}}


def candidates(
    source: Model | Program,
    files: Files | None = None,
    *,
    format: str = "auto",
    runtime: str = "auto",
    precisions: Sequence[str] = ("float32",),
) -> dict[str, Program]:
    """Programs by `runtime/precision`, the plainest first; `auto` leaves the format or the runtime open.

    Args:
        files: those that were written already.
    """
    found, files = {}, dict(files or (files_of(source) if isinstance(source, Program) else {}))
    is_talker = isinstance(source, Model) and gptfile.is_for(source)
    for name, wanted in _pairs(format, runtime):
        if is_talker and name == "openvino" and name not in (format, runtime):
            continue  # its graph has no cache
        if not _write(source, files, wanted):
            continue
        for precision in precisions:
            if not (precision == "bfloat16" and name != "openvino"):
                made = build(source, files[wanted], runtime=name, precision=precision)
                found[f"{name}/{precision}"] = made
    return found


def _pairs(format: str, runtime: str) -> Iterator[tuple[str, str]]:
    """Runtimes with the format that each is to read."""
    for name, formats in READS.items():
        is_asked = runtime == name or (runtime == "auto" and (name in RACED or format == formats[0]))
        if is_asked and format in ("auto", *formats):
            yield name, formats[0] if format == "auto" else format


def _write(source: Model | Program, files: Files, format: str) -> bool:
    """Adds the files of a format where they can be had."""
    if format in files:
        return True
    if format == "openvino" and isinstance(source, Model) and gptfile.is_for(source):
        files[format] = graph.openvino_of(graph.onnx_of(source))
        return True
    if isinstance(source, Model) and not (format == "openvino" and "onnx" in files):
        files.update(files_of(source, format))
    if format == "openvino" and "onnx" in files:
        files[format] = graph.openvino_of(files["onnx"]["model.onnx"])
    return format in files


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
    """The race itself, with one thread and with every core."""
    best = latencies_ms({**programs, **(beside or {})}, threads=sorted({1, machine.num_cores()}))
    return Choice(race.winner({name: best[name] for name in programs}), best)


def latencies_ms(
    programs: Mapping[str, Program], *, threads: Sequence[int], limit_s: float = race.LIMIT_S
) -> dict[str, float]:
    """The time of one row per Program, timed in turns, with the number of threads that is best for it."""
    row = feeds.drawn(next(iter(programs.values())).assets)
    # Apart: the idle threads of one runner would slow down the single thread of the next.
    found = [race.latencies_ms(_runners(programs, count), row, limit_s=limit_s) for count in threads]
    return {name: min(times[name] for times in found) for name in programs}


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
    views = {"views": source.assets["views"]} if "views" in source.assets else {}
    return {
        "net": source.net,
        "image_shape": list(feeds.blank(source.assets).shape),
        "shapes": shapes,
        **views,
    }
