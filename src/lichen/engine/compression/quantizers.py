"""quantizers: a float graph as an int8 one, by ONNX Runtime (QDQ) and by NNCF (OpenVINO's IR).

Of pictures both measure ranges on calibration rows: u8 activations, s8 weights with a scale per channel. The
format decides the speed: ONNX Runtime runs this one 2.5 times as fast as its own s8/s8 or u8/u8. Of texts a
few tokens are louder than all others and masks hold numbers that nothing does, so that ranges are measured
by NNCF alone, which knows what to leave in float in a transformer; other ways round the weights only.

Shapes: N rows, B rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core import machine
from lichen.core.errors import missing_package
from lichen.core.progress import Run
from lichen.engine.compression import eightbits
from lichen.engine.inputs import feeds, texts
from lichen.engine.programs import graph, runtimes
from lichen.engine.quiet import quietly

BATCH_SIZE = 50
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations that hold weights."""
CELLS = ("GRU", "LSTM")
"""Behind a table whose range was measured OpenVINO's answer otherwise, and by what stands beside a text: a
GRU fell from 68 to 56 %."""
PROBED = 64
"""Rows that tell how sensitive a layer is."""
VNNI_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}


def narrow_weights(run: Run) -> bool:
    """Whether weights are to have 7 bits here, a recorded decision of `saturates`."""
    return bool(run.decide("narrow_weights", saturates, about={}))


def saturates() -> bool:
    """Whether u8 x s8 products overflow 16 bits on this CPU."""
    facts = machine.environment()
    return facts["machine"] in ("x86_64", "AMD64") and not VNNI_FLAGS & set(facts["flags"])


def layers(onnx: bytes) -> list[str]:
    """Names of the nodes that hold weights, in the order of the graph."""
    return [name for name, kind in _nodes(onnx) if kind in LAYERS]


def _nodes(onnx: bytes) -> list[tuple[str, str]]:
    """Name and kind of every node."""
    import onnx as library

    return [(node.name, node.op_type) for node in library.load_from_string(onnx).graph.node]


def by_onnxruntime(
    onnx: bytes, rows_NCHW: np.ndarray, *, excluded: Sequence[str] = (), is_narrow: bool = False
) -> dict[str, bytes]:
    """A QDQ graph of u8 activations and s8 weights per channel.

    Args:
        excluded: nodes that stay in float.
        is_narrow: weights of 7 bits, from `narrow_weights`.
    """
    try:
        import onnx as library
        from onnxruntime import quantization
    except ImportError as error:
        raise missing_package(error.name or "onnxruntime", "vision") from None
    with tempfile.TemporaryDirectory() as folder, quietly():
        path = Path(folder, "model.onnx")
        quantization.quantize_static(
            library.load_from_string(onnx), path, _reader(rows_NCHW), per_channel=True,
            reduce_range=is_narrow, quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8, nodes_to_exclude=list(excluded),
        )  # fmt: skip
        return {"model.onnx": graph.plain(library.load(path))}


def _reader(rows_NCHW: np.ndarray):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(_batches(rows_NCHW, BATCH_SIZE))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch_BCHW = next(self.batches, None)
            return None if batch_BCHW is None else {graph.INPUT: batch_BCHW}

    return Reader()


def _batches(rows_NCHW: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows_NCHW), batch_size):
        yield np.ascontiguousarray(rows_NCHW[start : start + batch_size])


def by_openvino(
    onnx: bytes, rows_NCHW: np.ndarray, *, excluded: Sequence[str] = (), is_narrow: bool = False
) -> dict[str, bytes]:
    """OpenVINO's IR with fake-quantize nodes, biases corrected on the calibration rows.

    Args:
        is_narrow: means nothing here: the runtime knows its CPU.
    """
    nncf = _nncf()
    network = graph.ir_of(onnx)
    is_text = rows_NCHW.dtype == np.int32
    rows = [texts.trimmed(row) if is_text else row for row in _batches(rows_NCHW, 1)]
    # By default the mean of the rows' extremes is the range, which cuts off the outputs of sure answers.
    extremes = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    advanced = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=extremes)
    with quietly():
        quantized = nncf.quantize(
            network, nncf.Dataset(rows), subset_size=len(rows), preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if is_text else None, advanced_parameters=advanced,
            ignored_scope=_ignored(network, excluded),
        )  # fmt: skip
    return graph.plain_ir(quantized)


def weights_by_openvino(
    onnx: bytes, rows_NT: np.ndarray, *, excluded: Sequence[str] = (), is_narrow: bool = False
) -> dict[str, bytes]:
    """OpenVINO's IR with matrices and tables of eight bits; what is multiplied is rounded as it comes."""
    nncf, network = _nncf(), graph.ir_of(onnx)
    with quietly():
        rounded = nncf.compress_weights(network, ignored_scope=_ignored(network, excluded))
    return graph.plain_ir(rounded)


def _nncf() -> Any:
    try:
        with quietly():
            import nncf
            import nncf.quantization.range_estimator
    except ImportError:
        raise missing_package("nncf", "vision") from None
    return nncf


def _ignored(network: Any, excluded: Sequence[str]) -> Any:
    """What NNCF is to leave; one ONNX node may be several layers: `conv` and `conv/WithoutBiases`."""
    found = [layer.get_friendly_name() for layer in network.get_ordered_ops()]
    names = [name for name in found if any(name == one or name.startswith(f"{one}/") for one in excluded)]
    return _nncf().IgnoredScope(names=names) if names else None


def by_groups(
    onnx: bytes, rows_NT: np.ndarray, *, excluded: Sequence[str] = (), is_narrow: bool = False
) -> dict[str, bytes]:
    """A graph of `eightbits`, which takes no measuring."""
    return {"model.onnx": eightbits.rounded(onnx, excluded=excluded)}


def by_tables(
    onnx: bytes, rows_NT: np.ndarray, *, excluded: Sequence[str] = (), is_narrow: bool = False
) -> dict[str, bytes]:
    """The same with all products in float: those of small nets take less time so."""
    return by_groups(onnx, rows_NT, excluded=[*excluded, *layers(onnx)])


def sensitivities(onnx: bytes, rows_NCHW: np.ndarray, *, is_narrow: bool = False) -> dict[str, float]:
    """How far the outputs move when one layer alone is quantized, per layer: the mean absolute difference."""
    rows_NCHW = rows_NCHW[:PROBED]
    quantize = by_groups if rows_NCHW.dtype == np.int32 else by_onnxruntime
    names = layers(onnx)
    exact_NK = runtimes.load("onnxruntime", {"model.onnx": memoryview(onnx)}, threads=1)(rows_NCHW)
    moved = {}
    for name in names:
        others = [other for other in names if other != name]
        files = quantize(onnx, rows_NCHW, excluded=others, is_narrow=is_narrow)
        views = {file: memoryview(data) for file, data in files.items()}
        moved[name] = float(
            np.abs(runtimes.load("onnxruntime", views, threads=1)(rows_NCHW) - exact_NK).mean()
        )
    return moved


Quantizer = Callable[..., dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class Way:
    """How a graph becomes one of eight bits, and what runs the result."""

    runtime: str
    quantize: Quantizer
    words: str = "int8"


OF_PICTURES: tuple[Way, ...] = (Way("onnxruntime", by_onnxruntime), Way("openvino", by_openvino))
OF_TEXTS: tuple[Way, ...] = (
    Way("onnxruntime", by_groups, "int8 in groups"), Way("openvino", by_openvino),
    Way("openvino", weights_by_openvino, "int8 weights"), Way("onnxruntime", by_tables, "int8 tables"),
)  # fmt: skip


def ways(assets: Mapping[str, Any], onnx: bytes, runtime: str) -> list[Way]:
    """The ways for a value with these assets and graph that a runtime runs; auto: any."""
    found = OF_TEXTS if feeds.reads_texts(assets) else OF_PICTURES
    if not {*CELLS}.isdisjoint(kind for _, kind in _nodes(onnx)):
        found = tuple(way for way in found if way.quantize is not by_openvino)
    return [way for way in found if runtime in ("auto", way.runtime)]
