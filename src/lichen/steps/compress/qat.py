"""qat: train through the rounding of int8, so that quantization afterwards loses less."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Positive, Seed
from lichen.core.step import step
from lichen.engine import answer  # fmt: skip
from lichen.engine.compression import distillation, fakequant, quantizers  # fmt: skip
from lichen.engine.compression.calibration import calibration
from lichen.engine.compression.distillation import Lessons
from lichen.engine.fit import Settings, fit
from lichen.engine.inputs import feeds  # fmt: skip
from lichen.engine.modules import backend  # fmt: skip
from lichen.engine.programs import executables  # fmt: skip
from lichen.engine.programs.parity import Reference
from lichen.engine.task import task_of
from lichen.engine.training import execution, masking, supervised  # fmt: skip
from lichen.engine.training.execution import Execution

CLIP = 1.0
"""The longest gradient: what is rounded coarsely has a steep loss."""
CLOSE = 0.1
"""Actions from -1 to 1 that are this near each other count as the same."""


@step
def qat(
    model: Model,
    data: Dataset,
    *,
    epochs: Count = 2,
    batch_size: Count | None = None,
    rate: Positive = 0.002,
    weight_decay: Positive = 0.0,
    distillation_share: Fraction = 0.5,
    num_calibration: Count = 300,
    max_changed: Fraction = 0.05,
    precision: Literal["float32", "bfloat16", "auto"] = "float32",
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Trains in simulated int8 and returns the same net, its weights on the grid that `quantize` will find.

    The simulation is checked against a real int8 executable, and what int8 costs before and after is said.

    Args:
        epochs: over the data's train rows, as its policy varies them.
        batch_size: rows per step over all processes; None: 128, fewer where the train rows are few.
        rate: the peak rate: small, as the net is trained already.
        distillation_share: of the loss, that compares with the outputs of the model in float.
        num_calibration: train rows that the executable's ranges are measured on.
        max_changed: share of validation rows that simulation and executable may answer differently.
        precision: of what is not rounded; auto: the fastest on this machine, a recorded decision.

    Raises:
        GateError: the executable does not answer as the simulation did.
    """
    task, assets = task_of(model.task), model.assets
    task.check(data, "train")
    feeds.shape(assets)  # refuses what reads texts
    teacher, module = backend.module_of(model).to(run.device), backend.module_of(model)
    batches = supervised.batches_of(data, assets, batch_size=batch_size, seed=seed, device=run.device)
    settings = Settings(
        epochs=epochs, rate=rate, weight_decay=weight_decay, clip=CLIP, precision=precision, seed=seed
    )
    reference = Reference(model, data)
    is_narrow = quantizers.narrow_weights(run)
    with masking.kept(module, assets), fakequant.simulated(module, is_narrow=is_narrow):
        fit(
            module, batches, settings, run=run, about={"net": model.net, "arithmetic": "simulated int8"},
            objective=distillation.objective(teacher, task, assets, Lessons(share=distillation_share)),
            judge=supervised.judge(task, data, assets, device=run.device),
        )  # fmt: skip
        with execution.in_force(Execution(), "cpu"):
            said_NK = supervised.outputs_of(module.to("cpu").eval(), reference.images_NCHW, task, assets)
    trained = model.with_weights(backend.arrays_of(module))
    rows_NCHW = calibration(data, model, num_calibration, seed)
    program = _int8(trained, rows_NCHW, is_narrow)
    _require_parity(said_NK, program, reference, max_changed)
    before, after = reference.pair(_int8(model, rows_NCHW, is_narrow)), reference.pair(program)
    run.emit("note", text=f"int8 without this training: {before}; with it: {after}")
    if after.drop > before.drop:
        run.emit("warning", text="training in simulated int8 gained nothing here")
    return trained


def _require_parity(said_NK: np.ndarray, program: Program, reference: Reference, max_changed: float) -> None:
    """Whether an executable answers as the simulation said; actions may be a little off.

    Raises:
        GateError: on too many rows it does not; one row more is chance.
    """
    found_NK = answer.logits(program, reference.images_NCHW)
    said_N, found_N = (reference.answers(outputs)["answer"] for outputs in (said_NK, found_NK))
    off_N = np.abs(said_N.astype(np.float64) - found_N).reshape(len(said_NK), -1).max(1)
    num_changed = int((off_N > (CLOSE if np.issubdtype(said_N.dtype, np.floating) else 0)).sum())
    if num_changed > max(1, max_changed * len(said_NK)):
        raise GateError(
            f"int8 must answer as its simulation on all but {max_changed:.0%} of the rows of"
            f" {reference.rows.split}; {num_changed} of {len(said_NK)} differ",
            hint="more rows in num_calibration, or more epochs: the ranges have not settled",
        )  # fmt: skip


def _int8(model: Model, rows_NCHW: np.ndarray, is_narrow: bool) -> Program:
    """The executable that `quantize` tries first."""
    onnx = executables.files_of(model)["onnx"]["model.onnx"]
    files = quantizers.by_onnxruntime(onnx, rows_NCHW, is_narrow=is_narrow)
    return executables.build(model, files, runtime="onnxruntime", precision="int8")
