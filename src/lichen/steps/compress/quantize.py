"""quantize: eight-bit arithmetic, calibrated on train rows, refused where it costs accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError, OptionError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Seed
from lichen.core.step import step
from lichen.engine.compression import fewbits, quantizers
from lichen.engine.compression.calibration import calibration
from lichen.engine.inputs import feeds
from lichen.engine.programs import executables
from lichen.engine.programs.parity import Pairing, Reference

LADDER = {"precision": ["float32", "int8"], "runtime": ["onnxruntime", "openvino"]}
"""What a study asks for, weakest first."""
EXACT = 1e-4
"""Share of the largest output that float32 may differ by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One round: which layers stay in float, and what came of it by runtime and way."""

    words: str
    excluded: tuple[str, ...]
    passed: dict[str, Program] = field(default_factory=dict)
    pairings: dict[str, Pairing] = field(default_factory=dict)


@step(without={"precision": "float32"})
def quantize(
    model: Model,
    data: Dataset,
    *,
    precision: Literal["int8", "int4", "float32"] = "int8",
    group: Count = 128,
    runtime: Literal["auto", "onnxruntime", "openvino"] = "auto",
    num_calibration: Count = 300,
    max_drop: Fraction = 0.01,
    seed: Seed = 0,
    run: Run,
) -> Program:
    """Writes an int8 executable: of pictures static, u8 activations, s8 weights with a scale per channel.

    Of texts the weights are rounded in groups and what they are multiplied by as it comes, or ranges are
    measured as for pictures but for what a transformer needs in float. Of a language model the weights alone
    are rounded, each layer so that it answers as before; a token reads all of them, so that it comes as much
    faster as they are smaller. What follows is not about those.

    Each runtime has its own formats; those that pass the gate are raced and the fastest is kept. Where none
    passes, the first and last layers stay in float, then the most sensitive ones.

    Args:
        precision: float32 writes the same executable without quantization; int4 is for language models.
        group: of a language model: so many weights in a row share a scale, a power of two, 16 at least.
        runtime: what is to run it; auto: the faster one on this machine, a recorded decision.
        num_calibration: train rows that ranges are measured on.
        max_drop: how much the headline may drop on validation rows, paired row by row.

    Raises:
        GateError: every attempt costs more than `max_drop`; says what was tried.
        OptionError: the precision or the group is not for such a model.
    """
    if feeds.are_packed(model.assets):
        if runtime == "openvino":
            raise OptionError("language models of few bits are run by onnxruntime, not by openvino",
                              hint="runtime=auto")  # fmt: skip
        return _of_language(model, data, precision, group, num_calibration, max_drop, seed, run)
    if precision == "int4":
        raise OptionError("int4 is for the weights of language models; other nets compute in int8")
    files = executables.files_of(model)
    plain = executables.candidates(model, files, runtime=runtime)
    about = executables.about(model)
    reference = Reference(model, data)
    if precision == "float32":
        program = plain[executables.fastest(plain, run=run, about=about).winner]
        reference.require_equal(program, EXACT)
        return program
    rows_NCHW = calibration(data, model, num_calibration, seed)
    attempt = _first_good(model, files["onnx"]["model.onnx"], rows_NCHW, reference, runtime, max_drop, run)
    choice = executables.fastest(
        attempt.passed, run=run, about={**about, "layers": attempt.words}, beside=plain
    )
    program = attempt.passed[choice.winner]
    run.emit("note", text=f"{attempt.words} in int8: {attempt.pairings[choice.winner]}; {choice}")
    _warn(program, choice, plain, run)
    return program


def _of_language(
    model: Model, data: Dataset, precision: str, group: int, num_rows: int, max_drop: float, seed: int,
    run: Run,
) -> Program:  # fmt: skip
    if precision == "float32":
        program = fewbits.whole(model)
        Reference(model, data).require_equal(program, EXACT)
        return program
    if group < fewbits.SMALLEST_GROUP or group & (group - 1):
        raise OptionError(f"`group` must be a power of two, 16 at least, not {group}")
    return fewbits.first_good(
        model, data, bits=int(precision.removeprefix("int")), group=group, num_rows=num_rows,
        max_drop=max_drop, seed=seed, run=run,
    )  # fmt: skip


def _first_good(
    model: Model, onnx: bytes, rows_NCHW: np.ndarray, reference: Reference, runtime: str, max_drop: float,
    run: Run,
) -> Attempt:  # fmt: skip
    """The first attempt that passes the gate in some format.

    Raises:
        GateError: none does.
    """
    is_narrow = quantizers.narrow_weights(run)
    tried: list[Attempt] = []
    for attempt in _attempts(onnx, rows_NCHW, is_narrow):
        for way in quantizers.ways(model.assets, onnx, runtime):
            files = way.quantize(onnx, rows_NCHW, excluded=attempt.excluded, is_narrow=is_narrow)
            program = executables.build(model, files, runtime=way.runtime, precision="int8")
            _judge(attempt, f"{way.runtime}/{way.words}", program, reference, max_drop)
        if attempt.passed:
            return attempt
        tried.append(attempt)
        run.emit("warning", text=f"int8 costs too much with {_words(attempt)}")
    raise GateError(
        f"{reference.task.headline} may drop by {max_drop:g} at most; int8 was tried with "
        + "; ".join(_words(attempt) for attempt in tried),
        hint="a larger num_calibration or max_drop; or deploy.export, which stays in float32",
    )


def _attempts(onnx: bytes, rows_NCHW: np.ndarray, is_narrow: bool) -> Iterator[Attempt]:
    yield Attempt(words="every layer", excluded=())
    names = quantizers.layers(onnx)
    if len(names) > 2:
        yield Attempt(words="all but the first and last layer", excluded=(names[0], names[-1]))
    moved = quantizers.sensitivities(onnx, rows_NCHW, is_narrow=is_narrow)
    by_harm = sorted(names, key=lambda name: -moved[name])
    for part, share in (("quarter", 4), ("half", 2)):
        excluded = tuple(by_harm[: max(1, len(names) // share)])
        if len(excluded) < len(names):
            yield Attempt(words=f"all but the most sensitive {part} of the layers", excluded=excluded)


def _judge(attempt: Attempt, name: str, program: Program, reference: Reference, max_drop: float) -> None:
    attempt.pairings[name] = reference.pair(program)
    if attempt.pairings[name].is_within(max_drop):
        attempt.passed[name] = program


def _words(attempt: Attempt) -> str:
    found = ", ".join(f"{name} {pairing}" for name, pairing in attempt.pairings.items())
    return f"{attempt.words} ({found})"


def _warn(program: Program, choice: executables.Choice, plain: dict[str, Program], run: Run) -> None:
    """Says so where int8 is not worth it on this machine."""
    float_ms = min(choice.latency_ms[name] for name in plain)
    if choice.latency_ms[choice.winner] >= float_ms:
        run.emit("warning", text=f"int8 is not faster here than float32: {choice}")
    float_bytes = min(one.size_bytes for one in plain.values())
    if program.size_bytes >= float_bytes:
        run.emit("warning", text=f"int8 is not smaller: {program.size_bytes} bytes, float32 {float_bytes}")
