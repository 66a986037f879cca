"""quantizers: a float graph as an int8 one, by ONNX Runtime (QDQ) and by NNCF (OpenVINO's IR).

Both measure ranges on calibration rows: u8 activations, s8 weights with a scale per channel. The format
decides the speed: ONNX Runtime runs this one 2.5 times as fast as its own s8/s8 or u8/u8.

Shapes: N rows, B rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lichen.core.errors import missing_package
from lichen.engine import graph, runtimes
from lichen.engine.quiet import quietly

BATCH_SIZE = 50
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations that hold weights."""
PROBED = 64
"""Rows that tell how sensitive a layer is."""


def layers(onnx: bytes) -> list[str]:
    """Names of the nodes that hold weights, in the order of the graph."""
    import onnx as library

    return [node.name for node in library.load_from_string(onnx).graph.node if node.op_type in LAYERS]


def by_onnxruntime(
    onnx: bytes, rows_NCHW: np.ndarray, *, excluded: Sequence[str] = (), is_narrow: bool = False
) -> dict[str, bytes]:
    """A QDQ graph of u8 activations and s8 weights per channel.

    Args:
        excluded: nodes that stay in float.
        is_narrow: weights of 7 bits, for CPUs without VNNI: their u8 x s8 products saturate in 16 bits.
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
    try:
        with quietly():
            import nncf
            from nncf.quantization import advanced_parameters as advanced
            from nncf.quantization import range_estimator
    except ImportError:
        raise missing_package("nncf", "vision") from None
    network = graph.ir_of(onnx)
    found = [layer.get_friendly_name() for layer in network.get_ordered_ops()]
    # One ONNX node may become several layers: `conv` and `conv/WithoutBiases`.
    ignored = [name for name in found if any(name == one or name.startswith(f"{one}/") for one in excluded)]
    # By default the mean of the rows' extremes is the range, which cuts off the outputs of sure answers.
    extremes = range_estimator.RangeEstimatorParametersSet.MINMAX
    ranges = advanced.AdvancedQuantizationParameters(activations_range_estimator_params=extremes)
    with quietly():
        quantized = nncf.quantize(
            network, nncf.Dataset(list(_batches(rows_NCHW, 1))), subset_size=len(rows_NCHW),
            preset=nncf.QuantizationPreset.MIXED, advanced_parameters=ranges,
            ignored_scope=nncf.IgnoredScope(names=ignored) if ignored else None,
        )  # fmt: skip
    return graph.plain_ir(quantized)


def sensitivities(onnx: bytes, rows_NCHW: np.ndarray) -> dict[str, float]:
    """How far the outputs move when one layer alone is quantized, per layer: the mean absolute difference."""
    rows_NCHW = rows_NCHW[:PROBED]
    names = layers(onnx)
    exact_NK = runtimes.load("onnxruntime", {"model.onnx": memoryview(onnx)}, threads=1)(rows_NCHW)
    moved = {}
    for name in names:
        files = by_onnxruntime(onnx, rows_NCHW, excluded=[other for other in names if other != name])
        views = {file: memoryview(data) for file, data in files.items()}
        moved[name] = float(
            np.abs(runtimes.load("onnxruntime", views, threads=1)(rows_NCHW) - exact_NK).mean()
        )
    return moved


Quantizer = Callable[..., dict[str, bytes]]
QUANTIZERS: Mapping[str, Quantizer] = {"onnxruntime": by_onnxruntime, "openvino": by_openvino}
"""By the runtime that runs the result."""
