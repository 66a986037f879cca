"""runtimes: what runs a Program: uint8 pixels in, float32 outputs out, by the runtime's name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from lichen.core.errors import MachineError, UsageError, missing_package, nearest
from lichen.engine.programs import onnxfile, pages
from lichen.engine.programs.teller import Teller, keeps

Runner = Callable[[np.ndarray], np.ndarray]


def load(
    runtime: str, files: Mapping[str, memoryview], *, threads: int | None = None, precision: str = "float32"
) -> Runner:
    """Loads an executable from the bytes of its files.

    Args:
        precision: what arithmetic that is not quantized may be: `bfloat16` allows it, all else means float32.

    Raises:
        MachineError: the runtime is unknown here or not installed, or cannot do the precision.
        UnsafeInputError: an ONNX file points outside itself, an archive of torch.export holds code.
        UsageError: the runtime cannot load it.
    """
    if runtime not in LOADERS:
        raise MachineError(f"no runtime `{runtime}` is known", hint=nearest(runtime, LOADERS))
    if precision == "bfloat16" and runtime != "openvino":
        raise MachineError(f"{runtime} computes in float32 here, not in bfloat16", hint="runtime='openvino'")
    onnxfile.require_whole(files)
    with telling(runtime):
        run = LOADERS[runtime](files, threads, precision)

    def told(images_BCHW: np.ndarray) -> np.ndarray:
        with telling(runtime):
            return run(images_BCHW)

    return told


@contextmanager
def telling(runtime: str) -> Iterator[None]:
    """Says what a runtime says about a Program as an error of ours.

    Raises:
        UsageError: it cannot load or run it: a damaged file, an operation it does not know, another input.
    """
    try:
        yield
    except _faults(runtime) as error:
        said = [line for line in str(error).splitlines() if line.strip()]
        plain = next(
            (line for line in said if not line.startswith(("Exception from", "Check "))),
            said[0] if said else "",
        )
        raise UsageError(
            f"{runtime} cannot run this program: {plain.strip()[:300] or type(error).__name__}",
            hint="is it whole, and made for this runtime?",
        ) from error


def _faults(runtime: str) -> tuple[type[BaseException], ...]:
    """What a runtime raises about what it was given; its own errors share no ancestor."""
    plain = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError)
    if runtime in ("executorch", "torch"):
        return (*plain, AssertionError, SyntaxError, OSError, *_of_export())
    if runtime != "onnxruntime":
        return plain
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [
        thing for thing in vars(state).values() if isinstance(thing, type) and issubclass(thing, Exception)
    ]
    return (*plain, *own)


def _of_export() -> tuple[type[Exception], ...]:
    """What torch says about an exported graph; its errors share no ancestor."""
    from torch._export.serde.serialize import SerializeError
    from torch._export.verifier import SpecViolationError

    return SerializeError, SpecViolationError


def teller(files: Mapping[str, memoryview], *, threads: int | None = None) -> Teller | None:
    """The graph of a language model, to be asked token by token; None: it answers about whole rows alone.

    Raises:
        UsageError: it cannot be loaded.
    """
    if not any(name.endswith(".onnx") for name in files):
        return None
    onnxfile.require_whole(files)
    with telling("onnxruntime"), pages.large():
        session = _session(files, threads)
    return Teller(session) if keeps(session) else None


def _onnxruntime(files: Mapping[str, memoryview], threads: int | None, precision: str) -> Runner:
    session = _session(files, threads)
    if keeps(session):
        return Teller(session).rows
    name = session.get_inputs()[0].name
    return lambda images_BCHW: session.run(None, {name: np.ascontiguousarray(images_BCHW)})[0].astype(
        np.float32, copy=False
    )


def _session(files: Mapping[str, memoryview], threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise missing_package("onnxruntime", "vision") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        bytes(_ending(files, ".onnx")), options, providers=["CPUExecutionProvider"]
    )


def _openvino(files: Mapping[str, memoryview], threads: int | None, precision: str) -> Runner:
    try:
        import openvino
    except ImportError:
        raise missing_package("openvino", "vision") from None
    core = openvino.Core()
    if any(name.endswith(".onnx") for name in files):
        onnxfile.require_sound(data := bytes(_ending(files, ".onnx")))
        network = core.read_model(data)
    else:
        network = core.read_model(bytes(_ending(files, ".xml")), bytes(_ending(files, ".bin")))
    # Left to itself it computes in bfloat16 where the CPU has it.
    settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(network, "CPU", settings)
    # A request per thread: one compiled model may be asked from several, and a new one takes .04 ms.
    kept = threading.local()

    def run(images_BCHW: np.ndarray) -> np.ndarray:
        if not hasattr(kept, "request"):
            kept.request = compiled.create_infer_request()
        found = kept.request.infer([np.ascontiguousarray(images_BCHW)], share_inputs=True, share_outputs=True)
        return np.array(found[0], np.float32)

    return alone_at_first(run)


def alone_at_first(run: Runner) -> Runner:
    """The first answer of a process is computed by one thread, the others wait for it.

    OpenVINO's bindings fill tables at their first use and give up Python's lock meanwhile: two threads that
    come first at once wait for each other for ever.
    """

    def told(images_BCHW: np.ndarray) -> np.ndarray:
        if _has_answered.is_set():
            return run(images_BCHW)
        with _first:
            found = run(images_BCHW)
            _has_answered.set()
            return found

    return told


_first, _has_answered = threading.Lock(), threading.Event()


# A process that answers by ONNX or OpenVINO alone must not carry torch: 700 MB and seconds of start.


def _torch(files: Mapping[str, memoryview], threads: int | None, precision: str) -> Runner:
    from lichen.engine.programs import torchfile

    return torchfile.load(bytes(_ending(files, ".pt2")), threads)


def _executorch(files: Mapping[str, memoryview], threads: int | None, precision: str) -> Runner:
    from lichen.engine.programs import phone

    return phone.Phone(bytes(_ending(files, ".pte")), threads)


def _ending(files: Mapping[str, memoryview], suffix: str) -> memoryview:
    found = [data for name, data in files.items() if name.endswith(suffix)]
    if len(found) != 1:
        raise MachineError(f"a Program of this runtime must have one {suffix} file; it has {sorted(files)}")
    return found[0]


LOADERS: dict[str, Callable[[Mapping[str, memoryview], int | None, str], Runner]] = {
    "onnxruntime": _onnxruntime, "openvino": _openvino, "executorch": _executorch, "torch": _torch,
}  # fmt: skip
