"""fewbits: a language model whose matrices are whole numbers of few bits, and what that costs it.

Only weights are rounded; a token reads all of them, so that fewer bytes are less time. The table of tokens,
of which a token reads one row, keeps eight bits.

Shapes: N rows, T tokens, K inputs of a layer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.dataset import Dataset
from lichen.core.errors import GateError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.progress import Run
from lichen.core.value import size_text
from lichen.engine import answer
from lichen.engine.compression.calibration import calibration
from lichen.engine.modules import backend, rounding
from lichen.engine.modules.rounding import Rounded
from lichen.engine.programs import executables, gptfile, race, runtimes
from lichen.engine.programs.parity import Pairing, Reference
from lichen.engine.task import task_of
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution
from lichen.layers.block import Block
from lichen.nets.gpt import Gpt

READ_TOKENS = 32_768
"""Of train rows: what layers read is measured on these, ten times as many as the widest layer has inputs."""
READ_ROWS = 8
"""At a time."""
SMALLEST_GROUP = 16
"""That ONNX Runtime takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How matrices are rounded.

    Args:
        finer: parts of names of matrices that keep eight bits.
    """

    words: str
    bits: int
    group: int
    finer: tuple[str, ...] = ("tokens",)

    def bits_of(self, name: str) -> int:
        return 8 if any(part in name for part in self.finer) else self.bits


def plans(bits: int, group: int) -> Iterator[Plan]:
    """The smallest first, then finer ones."""
    yield Plan(words=f"every matrix, groups of {group}", bits=bits, group=group)
    half = max(SMALLEST_GROUP, group // 2)
    if half < group:
        yield Plan(words=f"every matrix, groups of {half}", bits=bits, group=half)
    if bits < 8:
        yield Plan(words="all but the head", bits=bits, group=half, finer=("tokens", "head"))
        yield Plan(words="all but the head and what blocks add", bits=bits, group=half,
                   finer=("tokens", "head", "out", "down"))  # fmt: skip


def whole(model: Model) -> Program:
    """The program of a language model in float32, with a cache."""
    return _program(model, backend.module_of(model), {}, "float32")


def first_good(
    model: Model, data: Dataset, *, bits: int, group: int, num_rows: int, max_drop: float, seed: int,
    run: Run,
) -> Program:  # fmt: skip
    """The first plan's program that loses no more than it may.

    Raises:
        GateError: none does; says what was tried.
        UsageError: the net is no gpt.
    """
    reference, module = Reference(model, data), backend.module_of(model)
    num_rows = min(num_rows, max(1, READ_TOKENS // model.assets["max_tokens"]))
    with execution.in_force(Execution(), "cpu"):  # one thread, float32: equal bits anywhere
        squares = squares_of(module, calibration(data, model, num_rows, seed), model)
    tried: list[str] = []
    for plan in plans(bits, group):
        with execution.in_force(Execution(), "cpu"):
            program = _program(model, module, rounded(module, squares, plan), f"int{bits}")
        pairing, words = _judged(reference, program)
        if pairing.is_within(max_drop):
            run.emit("note", text=f"{plan.words} in int{bits}: {words}; {_gain(model, module, program, run)}")
            return program
        tried.append(f"{plan.words} ({words})")
        run.emit("warning", text=f"int{bits} costs too much with {tried[-1]}")
    raise GateError(
        f"{reference.task.headline} may drop by {max_drop:g} at most; int{bits} cannot: it was tried with "
        + "; ".join(tried),
        hint="precision='int8', or a larger max_drop" if bits < 8 else "a larger max_drop",
    )


def squares_of(module: nn.Module, rows_NT: np.ndarray, model: Model) -> dict[str, Tensor]:
    """By matrix of `gptfile`, float32 (K, K): the sum of x x' over what it read of some rows."""
    gptfile.require(module)
    assert isinstance(module, Gpt)
    layers = {"head": module.head}
    for number, block in enumerate(module.blocks):
        assert isinstance(block, Block)
        layers |= {f"{number}.qkv": block.attention.query, f"{number}.out": block.attention.out,
                   f"{number}.up": block.mlp.up, f"{number}.down": block.mlp.down}  # fmt: skip
    found: dict[str, Tensor] = {}

    def note(name: str, inputs: tuple[Any, ...]) -> None:
        x_QK = inputs[0].flatten(0, -2)
        found[name] = found.get(name, 0.0) + x_QK.T @ x_QK

    hooks = [layer.register_forward_pre_hook(lambda _, inputs, name=name: note(name, inputs))
             for name, layer in layers.items()]  # fmt: skip
    task = task_of(model.task)
    try:
        with torch.inference_mode():
            for start in range(0, len(rows_NT), READ_ROWS):
                module(task.inputs(torch.from_numpy(rows_NT[start : start + READ_ROWS]), model.assets))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def rounded(module: nn.Module, squares: Mapping[str, Tensor], plan: Plan) -> dict[str, Rounded]:
    """The matrices of a net by a plan."""
    assert isinstance(module, Gpt)
    found = {}
    for name, matrix in gptfile.matrices_of(module).items():
        bits = plan.bits_of(name)
        if name in squares:
            found[name] = rounding.against(matrix, squares[name], bits, plan.group)
        elif matrix.shape[1] % plan.group == 0:  # rows that are looked up are whole groups
            found[name] = rounding.nearest(matrix, bits, plan.group)
    return found


def _program(model: Model, module: nn.Module, matrices: Mapping[str, Rounded], precision: str) -> Program:
    files = {"model.onnx": gptfile.written(module, model.assets["max_tokens"], matrices)}
    return executables.build(model, files, runtime="onnxruntime", precision=precision)


def _judged(reference: Reference, program: Program) -> tuple[Pairing, str]:
    """What the rows that gates ask about say, with the perplexity beside it."""
    found_NT = answer.logits(program, reference.images_NCHW)
    targets = reference.rows.targets
    before, after = (math.exp(min(reference.task.figures(losses, targets)["loss"], 700.0))
                     for losses in (reference.outputs_NK, found_NT))  # fmt: skip
    pairing = reference.paired(found_NT)
    return pairing, f"{pairing}, perplexity {before:.2f} -> {after:.2f} ({after / before - 1:+.2%})"


def _gain(model: Model, module: nn.Module, program: Program, run: Run) -> str:
    """What a token costs by the float32 program and by the rounded one."""
    plain = _program(model, module, {}, "float32")
    found = token_ms({"before": plain, "after": program})
    gain = found["before"] / max(found["after"], 1e-9)
    sizes = [size_text(one.size_bytes) for one in (plain, program)]
    if gain < 1.0:
        run.emit("warning", text=f"few bits are not faster here ({gain:.2f}x): a net this small is not read"
                 " from memory")  # fmt: skip
    return (f"{sizes[0]} -> {sizes[1]}, one token {found['before']:.3g} -> {found['after']:.3g} ms"
            f" ({gain:.2f}x) on one thread")  # fmt: skip


def token_ms(candidates: Mapping[str, Program]) -> dict[str, float]:
    """The time of one token with a few before it, in turns on one thread, by what the CPU counts."""
    runners = {name: _stepping(program) for name, program in candidates.items()}
    return race.latencies_ms(runners, np.zeros(1), clock=time.process_time)


def _stepping(program: Program) -> race.Runner:
    teller = runtimes.teller(program.files(), threads=1)
    assert teller is not None
    cache, token_11 = teller.cache(program.assets["max_tokens"]), np.array([[teller.end]])
    teller(token_11, cache)

    def step(_: np.ndarray) -> np.ndarray:
        cache.cut(1)
        return teller(token_11, cache)

    return step
