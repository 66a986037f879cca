"""graph: a Model as an executable graph: bytes in, outputs out, equal files for equal models.

Shapes: B rows of a batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lichen.core.errors import StepError, missing_package
from lichen.core.model import Model
from lichen.core.protocols import Task
from lichen.engine import backend, onnxfile, runtimes
from lichen.engine.task import task_of

INPUT, OUTPUT, ROWS = "pixels", "outputs", "rows"
WEIGHT_LIMIT_BYTES = 1_900_000_000
"""A protobuf file ends at 2 GB."""


class Answering(nn.Module):
    """A net with its task's normalisation in front: uint8 (B, C, H, W) -> float32 (B, K)."""

    def __init__(self, module: nn.Module, task: Task, assets: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = module
        self.task = task
        self.assets = dict(assets)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.net(self.task.inputs(pixels, self.assets)).float()


def onnx_of(model: Model) -> bytes:
    """The ONNX file of a Model, of any number of rows.

    Raises:
        StepError: the net does things that a graph cannot say, or is over 2 GB.
    """
    if model.size_bytes > WEIGHT_LIMIT_BYTES:
        raise StepError(f"an ONNX file holds 2 GB at most; this net has {model.size_bytes / 1e9:.1f} GB")
    module = Answering(backend.module_of(model), task_of(model.task), model.assets).eval()
    return of_module(module, model.assets["image_shape"])


def of_module(module: nn.Module, image_shape: list[int]) -> bytes:
    """The ONNX file of a module that takes uint8 (B, C, H, W)."""
    pixels = torch.zeros(2, *image_shape, dtype=torch.uint8)
    with torch.no_grad():
        module(pixels)  # once for real: what is remembered of a first call must not be remembered of a trace
    try:
        with _quietly():
            made = torch.onnx.export(
                module, (pixels,), dynamo=True, dynamic_shapes=({0: torch.export.Dim(ROWS)},),
                input_names=[INPUT], output_names=[OUTPUT], verbose=False,
            )  # fmt: skip
    except ImportError as error:
        raise missing_package(error.name or "onnxscript", "vision") from None
    except (torch.onnx.OnnxExporterError, torch.onnx.errors.UnsupportedOperatorError) as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise StepError(f"this net cannot be written as a graph: {reason}") from error
    assert made is not None
    return plain(made.model_proto)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns, logs and prints about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng([]):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def plain(proto: Any) -> bytes:
    """The bytes of an ONNX model without what says how it was made: paths, stack traces, versions, notes."""
    proto.producer_name = proto.producer_version = proto.doc_string = ""
    del proto.metadata_props[:]
    graph = proto.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    return proto.SerializeToString(deterministic=True)


def openvino_of(onnx: bytes | memoryview) -> dict[str, bytes]:
    """An ONNX file as OpenVINO's IR: `model.xml` and `model.bin`, weights as they are."""
    return plain_ir(ir_of(onnx))


def ir_of(onnx: bytes | memoryview) -> Any:
    """An ONNX file as OpenVINO's own model in memory."""
    try:
        import openvino
    except ImportError:
        raise missing_package("openvino", "vision") from None
    onnxfile.require_whole({"model.onnx": onnx})
    onnxfile.require_sound(bytes(onnx))
    with runtimes.telling("openvino"):
        return openvino.Core().read_model(bytes(onnx))


def plain_ir(network: Any) -> dict[str, bytes]:
    """The files of an OpenVINO model, layers named by place: the library counts on through a process."""
    import openvino

    for place, layer in enumerate(network.get_ordered_ops()):
        if layer.get_type_name() not in ("Parameter", "Result"):
            layer.set_friendly_name(f"{layer.get_type_name()}_{place}")
        for key in [key for key in layer.get_rt_info() if key.startswith("fused_names")]:
            del layer.get_rt_info()[key]
    for key in list(network.get_rt_info()):
        del network.get_rt_info()[key]
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(network, xml, weights)
        return {"model.xml": xml.read_bytes(), "model.bin": weights.read_bytes()}
