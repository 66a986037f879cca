"""graph: a Model as an executable graph: bytes in, outputs out, equal files for equal models.

Shapes: B rows of a batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lichen.core.errors import StepError, UsageError, missing_package
from lichen.core.model import Model
from lichen.core.protocols import Task
from lichen.engine.inputs import feeds, texts
from lichen.engine.modules import backend, views
from lichen.engine.programs import executorchfile, onnxfile, runtimes, torchfile
from lichen.engine.quiet import quietly
from lichen.engine.task import task_of

INPUT, OUTPUT, ROWS, TOKENS = "pixels", "outputs", "rows", "tokens"
FEWEST = texts.FEWEST
WEIGHT_LIMIT_BYTES = 1_900_000_000
"""A protobuf file ends at 2 GB."""


class Answering(nn.Module):
    """uint8 (B, C, H, W) -> float32 (B, K): a net, the task's normalisation before it, its views averaged."""

    def __init__(self, module: nn.Module, task: Task, assets: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = module
        self.task = task
        self.assets = dict(assets)

    def forward(self, pixels: Tensor) -> Tensor:
        return views.answered(self.net, self.task.inputs(pixels, self.assets), self.assets).float()


def onnx_of(model: Model) -> bytes:
    """The ONNX file of a Model, of any number of rows.

    Raises:
        StepError: the net does things that a graph cannot say, or is over 2 GB.
    """
    if model.size_bytes > WEIGHT_LIMIT_BYTES:
        raise StepError(f"an ONNX file holds 2 GB at most; this net has {model.size_bytes / 1e9:.1f} GB")
    return of_module(answering(model), _row(model), longest=_longest(model))


def _row(model: Model) -> np.ndarray:
    """What a net is traced with.

    Raises:
        UsageError: it translates texts, token by token.
    """
    if feeds.are_paired(model.assets):
        raise UsageError("this takes models that answer once per row; this one tells texts token by token",
                         hint="lichen export NAME --format safetensors writes its weights")  # fmt: skip
    return feeds.blank(model.assets)


def _longest(model: Model) -> int | None:
    """Tokens of a text at most, where shorter ones are asked about as they are; None: all rows are alike."""
    is_any = feeds.reads_texts(model.assets) and not feeds.tells_tokens(model.assets)
    return len(feeds.blank(model.assets)) if is_any else None


def torch_of(model: Model) -> bytes:
    """The archive of torch.export of a Model, of any number of rows.

    Raises:
        UsageError: it translates texts, token by token.
        StepError: the net does things that a graph cannot say.
    """
    return torchfile.written(exported(answering(model), _row(model), longest=_longest(model)))


def executorch_of(model: Model) -> bytes:
    """The program for phones of a Model: of rows at once as memory is planned for, of texts of full length.

    Raises:
        UsageError: it translates texts, token by token.
        StepError: the net does things that a graph cannot say, or that no kernel does.
    """
    return executorchfile.written(exported(answering(model), _row(model), executorchfile.MAX_ROWS))


def answering(model: Model) -> Answering:
    """The module that answers as the model does, from bytes."""
    return Answering(backend.module_of(model), task_of(model.task), model.assets).eval()


def of_module(module: nn.Module, row: np.ndarray, *, longest: int | None = None) -> bytes:
    """The ONNX file of a module that takes batches of such rows, as `feeds.blank` gives them.

    Args:
        longest: rows are texts of any length up to this; None: all are as long as the row.
    """
    pixels = _first_call(module, row)
    try:
        with quietly(), torch.random.fork_rng([]):
            made = torch.onnx.export(
                module, (pixels,), dynamo=True, dynamic_shapes=(_open(torch.export.Dim(ROWS), longest),),
                input_names=[INPUT], output_names=[OUTPUT], opset_version=onnxfile.OPSET, verbose=False,
            )  # fmt: skip
    except ImportError as error:
        raise missing_package(error.name or "onnxscript", "vision") from None
    except (torch.onnx.OnnxExporterError, torch.onnx.errors.UnsupportedOperatorError) as error:
        raise _unsayable(error.__cause__ or error) from error
    assert made is not None
    return plain(made.model_proto)


def exported(
    module: nn.Module, row: np.ndarray, max_rows: int | None = None, *, longest: int | None = None
) -> ExportedProgram:
    """What torch.export says of a module that takes batches of such rows.

    Args:
        max_rows: that are ever asked about at once; None: any number. longest: as `of_module`.
    """
    _first_call(module, row)
    # Traced with 2 of 32 rows, XNNPACK would plan for 15.
    pixels = torch.from_numpy(np.stack([row] * (max_rows or 2)))
    rows = torch.export.Dim(ROWS, min=1, max=max_rows)
    try:
        with quietly(), torch.random.fork_rng([]), torch.no_grad():
            return torch.export.export(module, (pixels,), dynamic_shapes=(_open(rows, longest),))
    except (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError,
            torch._dynamo.exc.TorchDynamoException) as error:  # fmt: skip
        raise _unsayable(error) from error


def _open(rows: Any, longest: int | None) -> dict[int, Any]:
    """What a graph leaves open: how many rows there are and, of texts, how many tokens the longest has."""
    if longest is None or longest <= FEWEST:
        return {0: rows}
    return {0: rows, 1: torch.export.Dim(TOKENS, min=FEWEST, max=longest)}


def _first_call(module: nn.Module, row: np.ndarray) -> Tensor:
    """Rows that a module was asked about: what it remembers of a first call must not be of a trace."""
    pixels = torch.from_numpy(np.stack([row] * 2))
    with torch.no_grad():
        module(pixels)
    return pixels


def _unsayable(error: BaseException) -> StepError:
    return StepError(
        f"this net cannot be written as a graph: {str(error).strip().partition(chr(10))[0][:300]}"
    )


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
