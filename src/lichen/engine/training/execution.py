"""execution: how a step is computed on this machine: threads, precision, memory layout, chosen by measuring.

These change the bits of a result, so the choice is a recorded decision.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import deterministic

from lichen.core import machine, peers
from lichen.core.progress import Run
from lichen.engine.modules import convolution
from lichen.engine.training import memory

SHARE = 0.1
"""Measuring may cost this share of the estimated training time,"""
LIMIT_S = 8.0
"""and never more than this. A ResNet-18 takes 30 ms per row; with a handful of rows the choice is wrong."""
LONG_S = 0.1
SHARED_S = 0.005
"""A step shorter than this has nothing to share: where cores are busy a second thread made one 100 times as
long, and what a quiet moment says does not last."""
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Without these a CPU emulates bfloat16 and is slower with it."""

Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    threads: int = 1
    precision: str = "float32"
    layout: str = "contiguous"
    convolution: str = "direct"
    """Of small pictures: `direct`, or as a `product` of matrices."""

    def autocast(self, device: str) -> AbstractContextManager:
        if self.precision == "bfloat16":
            return torch.autocast(device, dtype=torch.bfloat16)
        return nullcontext()

    def place(self, module: nn.Module) -> nn.Module:
        if self.layout == "channels_last":
            return module.to(memory_format=torch.channels_last)
        return module

    def place_batch(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self.layout == "channels_last" else x


def decide(
    module: nn.Module,
    batch: tuple[Tensor, Tensor],
    objective: Objective,
    *,
    precision: str,
    num_steps: int,
    run: Run,
    about: Mapping[str, Any],
) -> Execution:
    """The execution for a training run of `num_steps` such batches.

    Args:
        precision: `auto`, or the one that must be used.
        about: what the choice depends on beside the machine.
    """
    if run.device != "cpu":
        fixed = "bfloat16" if precision == "auto" else precision
        return Execution(
            threads=1, precision=fixed, layout="channels_last" if _has_convolution(module) else "contiguous"
        )

    def measure() -> dict[str, Any]:
        return asdict(_fastest(module, batch, objective, precision, num_steps))

    choice = run.decide(
        "execution", measure, about={**about, "precision": precision, "steps": _rounded(num_steps)}
    )
    return Execution(**choice)


def _rounded(num_steps: int) -> int:
    """Powers of four: a few steps more or less are the same question."""
    return 4 ** (num_steps.bit_length() // 2)


def _fastest(
    module: nn.Module, batch: tuple[Tensor, Tensor], objective: Objective, precision: str, num_steps: int
) -> Execution:
    first = Execution(precision="float32" if precision == "auto" else precision)
    rows, deadline = len(batch[1]), time.process_time() + LIMIT_S
    few = min(rows, 2 if _has_batch_norm(module) else 1)  # a row of texts is work enough
    probe = _Probe(module, batch, objective)
    probe.step(first, few, repeats=1)
    row_s = probe.step(first, few, repeats=1).cpu_s / few
    budget_s = min(LIMIT_S, SHARE * row_s * rows * num_steps) - 2 * few * row_s
    candidates = _candidates(module, first, is_free=precision == "auto")
    share_s = budget_s / (len(candidates) + 1)
    # The first step of a kind sets up kernels; of short ones the fastest of the others counts.
    repeats = 2 if min(share_s, row_s * rows) >= LONG_S else 3
    num_rows = min(rows, int(share_s / repeats / row_s))
    if num_rows < few:
        return first
    best, best_step = first, probe.step(first, num_rows, repeats)
    for candidate in candidates[1:]:
        if time.process_time() > deadline:
            break
        step = probe.step(candidate, num_rows, repeats)
        # Near ties go to the earlier, plainer candidate, so that noise does not choose.
        if step.cpu_s < 0.95 * best_step.cpu_s:
            best, best_step = candidate, step
    wide = replace(best, threads=max(1, machine.num_cores() // peers.num_beside()))
    if (
        time.process_time() < deadline
        and best_step.cpu_s * rows / num_rows > SHARED_S
        and threads_help(wide.threads)
        and probe.step(wide, num_rows, repeats).wall_s < 0.9 * best_step.wall_s
    ):
        return wide
    return best


def threads_help(threads: int, size: int = 384) -> bool:
    """Whether a small matrix product is clearly faster with that many threads.

    On a core that others use, threads that wait for each other can be twenty times slower: this says so in
    milliseconds, where a training step would take seconds.
    """
    if threads < 2:
        return False
    times = []
    matrix = torch.ones(size, size)
    for count in (1, threads):
        with in_force(Execution(threads=count), "cpu"):
            times.append(min(_product_s(matrix) for _ in range(4)))
    return times[1] < 0.75 * times[0]


def _product_s(matrix: Tensor) -> float:
    start = time.perf_counter()
    for _ in range(3):
        matrix @ matrix
    return time.perf_counter() - start


def _candidates(module: nn.Module, first: Execution, *, is_free: bool) -> list[Execution]:
    """The plainest first, then the likeliest to be fast: time may run out."""
    layouts = ["contiguous", "channels_last"] if _has_convolution(module) else ["contiguous"]
    found = [first]
    if is_free and BF16_FLAGS & set(machine.environment()["flags"]):
        found.append(replace(first, precision="bfloat16", layout=layouts[-1]))
    likeliest = replace(found[-1], layout=layouts[-1])
    if any(convolution.is_suitable(layer) for layer in module.modules()):
        found.append(replace(likeliest, convolution="product"))
    return found + [replace(first, layout=layout) for layout in layouts[1:]]


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step took. CPU time compares ways to compute on one thread, whoever else uses the core."""

    wall_s: float
    cpu_s: float


class _Probe:
    """Times training steps on a throwaway copy of a net."""

    def __init__(self, module: nn.Module, batch: tuple[Tensor, Tensor], objective: Objective) -> None:
        frozen = {id(own): own for own in module.parameters() if not own.requires_grad and own.ndim < 4}
        self.module = copy.deepcopy(module, frozen)  # what never changes need not be there twice
        self.batch = batch
        self.objective = objective

    def step(self, execution: Execution, num_rows: int, repeats: int) -> _Step:
        """The shortest times of some steps; the first warms up where there are several."""
        x, y = (tensor[:num_rows] for tensor in self.batch)
        module = self.module.to(memory_format=torch.contiguous_format)
        module = execution.place(module).train()
        module.zero_grad()
        times = []
        with in_force(execution, "cpu", module):
            for _ in range(repeats):
                start, cpu_start = time.perf_counter(), time.process_time()
                with execution.autocast("cpu"):
                    loss = self.objective(module, execution.place_batch(x), y).float().mean()
                loss.backward()
                times.append((time.perf_counter() - start, time.process_time() - cpu_start))
        return _Step(*(min(taken) for taken in zip(*(times[1:] or times), strict=True)))


def _has_batch_norm(module: nn.Module) -> bool:
    """Whether a row alone would have no figures."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())


def _has_convolution(module: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) for layer in module.modules())


@contextmanager
def in_force(execution: Execution, device: str, module: nn.Module | None = None) -> Iterator[None]:
    """Sets torch's global threads and determinism, and puts everything back afterwards.

    Args:
        module: the net to be trained, whose convolutions are computed as told, and whose frozen matrices are
            stored meanwhile as they are computed with.
    """
    as_told = module is not None and execution.convolution == "product"
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills, cudnn = deterministic.fill_uninitialized_memory, torch.backends.cudnn.deterministic  # type: ignore[attr-defined]
    try:
        if device == "cpu":
            if threads != execution.threads:
                torch.set_num_threads(execution.threads)
            # torch.use_deterministic_algorithms does this too, and imports the compiler to tell it.
            torch._C._set_deterministic_algorithms(True, warn_only=True)
            deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic = True
        products = convolution.as_products(module) if as_told else nullcontext()  # type: ignore[arg-type]
        is_narrow = module is not None and execution.precision == "bfloat16"
        halves = narrowed(module) if is_narrow else nullcontext()  # type: ignore[arg-type]
        with products, halves, memory.kept():
            yield
    finally:
        torch._C._set_deterministic_algorithms(was[0], warn_only=was[1])
        deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic = cudnn
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_rng_state(generator)


@contextmanager
def narrowed(module: nn.Module) -> Iterator[None]:
    """Frozen matrices of linear layers in bfloat16, so that no step has to make them so; then as they were.

    A matrix that is also read otherwise, such as a table of tokens, stays; so do those whose lengths count.
    """
    read = Counter(id(own) for part in module.modules() for own in part.parameters(recurse=False))
    by_length = any("magnitude" in name for name, _ in module.named_parameters())
    wide = [
        part.weight for part in module.modules()
        if isinstance(part, nn.Linear) and not part.weight.requires_grad and read[id(part.weight)] == 1
        and part.weight.dtype == torch.float32 and not by_length
    ]  # fmt: skip
    was = [weight.data for weight in wide]
    try:
        for weight in wide:
            weight.data = weight.data.bfloat16()
        yield
    finally:
        for weight, data in zip(wide, was, strict=True):
            weight.data = data


def mixed(seed: int, step: int) -> int:
    """A well-spread 63-bit seed of (seed, step): splitmix64's finaliser."""
    word = (seed * 0x9E3779B97F4A7C15 + step + 1) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (word ^ (word >> 31)) >> 1
