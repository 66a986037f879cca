"""executorchfile: a program for phones, and the trial that one from elsewhere passes before it is run.

`python -m lichen.engine.programs.executorchfile` loads and runs the program that it is given as input. The
runtime checks the outer shell of a program alone: one changed program in a hundred takes its process down. So
a program that was not written by this process is first tried in a child, which is all that it can take down.
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from lichen.core.digest import digest_bytes
from lichen.core.errors import StepError, UsageError, missing_package
from lichen.engine.quiet import muted

NAME = "model.pte"
MAGIC = b"ET12"
"""The version of the format, after four bytes of its own."""
MAX_ROWS = 32
"""Memory is planned for so many rows at once; more are answered in turns."""
TRIAL_S = 120
METHOD = "forward"
KINDS = {0: torch.uint8, 3: torch.int32, 6: torch.float32}
"""What a program takes, by the number that it says: pixels, tokens, observations."""
_sound: set[str] = set()
"""Digests of programs that were written here or passed their trial."""


def written(exported: ExportedProgram) -> bytes:
    """The program of an exported one, with XNNPACK's kernels for what they know.

    Raises:
        MachineError: executorch is not installed.
        StepError: the net does things that no kernel does.
    """
    if found := next((str(node.target) for node in exported.graph.nodes if _is_cell(node)), None):
        raise StepError(f"executorch has no kernel for cells that remember ({found}); unrolled token by token"
                        " they take minutes to write", hint="format='onnx'")  # fmt: skip
    try:
        with muted():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
    except ImportError as error:
        raise missing_package(error.name or "executorch", "mobile") from None
    try:
        with muted():
            sliced = exported.run_decompositions(SLICED)
            edge = to_edge_transform_and_lower(sliced, partitioner=[XnnpackPartitioner()])
            data = bytes(edge.to_executorch().buffer)
    except _refusals() as error:
        said = str(error).strip().partition("\n")[0][:300]
        raise StepError(f"this net cannot be written for executorch: {said}") from error
    _sound.add(digest_bytes(data))
    return data


def _by_size(x: Tensor, size: int, dim: int = 0) -> list[Tensor]:
    length = x.shape[dim]
    return [torch.ops.aten.slice.Tensor(x, dim, start, min(start + size, length))
            for start in range(0, length, size)]  # fmt: skip


def _by_sizes(x: Tensor, sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    ends = [0, *itertools.accumulate(sizes)]
    return [torch.ops.aten.slice.Tensor(x, dim, start, end) for start, end in itertools.pairwise(ends)]


SLICED = {torch.ops.aten.split.Tensor: _by_size, torch.ops.aten.split_with_sizes.default: _by_sizes}
"""A split as slices: the kernel of a split leaves its parts as long as for the most rows (executorch 1.5)."""


def _is_cell(node: Any) -> bool:
    return str(node.target).startswith(("aten.gru", "aten.lstm"))


def _refusals() -> tuple[type[Exception], ...]:
    """What executorch raises about a net; its own errors share no ancestor."""
    from executorch.exir.error import ExportError, InternalError

    plain = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError)
    return (*plain, ExportError, InternalError)


def num_threads() -> int:
    """The threads of the runtime's pool."""
    library = _library()
    with muted():  # the first question makes the pool, which writes about the processor
        return library._threadpool_get_thread_count()


def set_threads(threads: int) -> None:
    """Makes the pool anew; methods that were loaded before must not be called again."""
    library = _library()
    with muted():
        library._unsafe_reset_threadpool(threads)


def _library() -> Any:
    try:
        with muted():
            from executorch.extension.pybindings import portable_lib
    except ImportError as error:
        raise missing_package(error.name or "executorch", "mobile") from None
    return portable_lib


def loaded(data: bytes) -> tuple[Any, int]:
    """The method of a program and the rows that it takes at once.

    Raises:
        MachineError: executorch is not installed.
        UsageError: it is damaged, or of another version.
    """
    _library()
    if digest_bytes(data) not in _sound:
        _try(data)
        _sound.add(digest_bytes(data))
    with muted():
        method = _method(data)
        method.execute((_blank(method, 1),))  # the first call writes, too
    return method, shape_of(method)[0]


def _method(data: bytes) -> Any:
    from executorch.runtime import Runtime, Verification

    program = Runtime.get().load_program(data, verification=Verification.InternalConsistency)
    method = program.load_method(METHOD)
    method.program = program  # which holds the bytes that the method reads
    return method


def shape_of(method: Any) -> tuple[int, ...]:
    """Of the most rows that a method takes at once."""
    return tuple(method.metadata.input_tensor_meta(0).sizes())


def _blank(method: Any, rows: int) -> Tensor:
    """So many rows of nothing: black pictures, or texts of the longest length without a token."""
    told = method.metadata.input_tensor_meta(0)
    return torch.zeros(rows, *told.sizes()[1:], dtype=KINDS[told.dtype()])


def require_version(data: bytes) -> None:
    """Refuses what is no program of the version that is written here.

    Raises:
        UsageError: it is none.
    """
    if data[4:8] != MAGIC:
        raise UsageError(
            f"the program must be of version {MAGIC.decode()}; it says {data[4:8]!a}", where=NAME
        )


def _try(data: bytes) -> None:
    """Lets a child load and run a program first.

    Raises:
        UsageError: the child did not come to its end.
    """
    require_version(data)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=data, capture_output=True, timeout=TRIAL_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UsageError(f"the program did not answer in {TRIAL_S} s", where=NAME) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        what = f"executorch stopped with signal {-done.returncode}" if done.returncode < 0 else said
        raise UsageError(f"the program is damaged: {what}", where=NAME)


def main() -> None:
    """The child's work: what goes wrong here goes wrong there."""
    resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_S, TRIAL_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    method = _method(sys.stdin.buffer.read())
    for rows in {1, shape_of(method)[0]}:
        method.execute((_blank(method, rows),))


if __name__ == "__main__":
    main()
