"""export: write a model as an executable that answers as it does, checked row by row."""

from __future__ import annotations

from typing import Literal

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Fraction, Positive
from lichen.core.step import step
from lichen.engine.programs import executables, gate
from lichen.engine.programs.gate import Terms
from lichen.engine.programs.parity import Reference


@step
def export(
    model: Model | Program,
    data: Dataset,
    *,
    format: Literal["auto", "onnx", "openvino", "executorch", "torch"] = "auto",
    runtime: Literal["auto", "onnxruntime", "openvino", "executorch", "torch"] = "auto",
    precision: Literal["float32", "bfloat16", "auto"] = "float32",
    tolerance: Positive = 1e-4,
    max_drop: Fraction = 0.005,
    max_flips: Fraction = 0.001,
    run: Run,
) -> Program:
    """Writes a graph from uint8 pixels to outputs, normalisation inside, for any number of rows.

    Args:
        format: auto: the runtime's own; executorch is for phones, torch an archive of torch.export.
        runtime: what is to run it; auto: onnxruntime or openvino, the faster one on this machine, a recorded
            decision.
        precision: bfloat16 only where it is allowed; auto: where it is faster. A Program keeps its own.
        tolerance: largest difference from the model on validation rows, as a share of the largest output.
        max_drop: of the headline metric on the same rows, where the arithmetic is not float32.
        max_flips: share of validation rows that may be answered otherwise through the path that serves; one
            row always may.

    Raises:
        GateError: the graph does not answer as the model does: a part of it was lost, pictures are
            normalised, coloured, padded or resized otherwise, labels or outputs are permuted, batch-norm is
            stale, numbers overflow, the version of its operations or its batch size is wrong.
        UsageError: no runtime does what was asked.
    """
    reference = Reference(model, data)
    terms = Terms(tolerance=tolerance, max_drop=max_drop, max_flips=max_flips)
    found = executables.candidates(
        model, format=format, runtime=runtime, precisions=_precisions(model, precision)
    )
    if not found:
        raise UsageError(f"nothing writes a {type(model).__name__} as {format} in {precision} for {runtime}",
                         hint="format='auto', runtime='auto'")  # fmt: skip
    for program in found.values():
        gate.require_fit(reference, program)
    if precision == "auto":
        found = {name: program for name, program in found.items() if _is_good(reference, program, terms, run)}
    choice = executables.fastest(found, run=run, about=executables.about(model))
    program = found[choice.winner]
    run.emit("note", text=f"{gate.require_same(reference, program, terms)}; {choice}")
    return program


def _precisions(model: Model | Program, precision: str) -> list[str]:
    if isinstance(model, Program):
        return [model.precision]
    return ["float32", "bfloat16"] if precision == "auto" else [precision]


def _is_good(reference: Reference, program: Program, terms: Terms, run: Run) -> bool:
    """Whether reduced precision passes the gate; float32 is asked later, and more strictly."""
    if program.precision == "float32":
        return True
    try:
        gate.require_same(reference, program, terms)
    except GateError as refusal:
        run.emit("warning", text=f"{program.precision} is not used: {refusal.message}")
        return False
    return True
