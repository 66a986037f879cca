"""onnxfile: an ONNX file is refused where it points outside itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lichen.core.errors import UnsafeInputError, UsageError, missing_package

OPSET = 20
"""The version of ONNX's operations that is written."""
POINTER = b"location"
"""What every pointer to a file outside says; a file without these bytes has none and is not parsed."""


def require_whole(files: Mapping[str, bytes | memoryview]) -> None:
    """Refuses ONNX files whose tensors lie in other files: a runtime would open whatever path they name.

    Raises:
        UnsafeInputError: one does; names the tensor and the path.
        UsageError: one is no ONNX file.
    """
    for name, data in files.items():
        if name.endswith(".onnx"):
            _require_whole(name, bytes(data))


def _require_whole(name: str, data: bytes) -> None:
    if data[4:8] == b"ORTM" or data.lstrip()[:1] == b"<":
        raise UsageError("this is no ONNX file, whatever its name says", where=name)
    if POINTER not in data:
        return
    for tensor in _tensors(_parsed(name, data)):
        if tensor.data_location or len(tensor.external_data):
            place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "?")
            raise UnsafeInputError(
                "an ONNX file must hold its weights; "
                f"tensor {ascii(tensor.name)[:80]} lies in {ascii(place)[:120]}",
                where=name, hint="onnx.save_model(model, path, save_as_external_data=False)",
            )  # fmt: skip


def require_sound(data: bytes, name: str = "model.onnx") -> None:
    """Refuses a graph that breaks ONNX's own rules: OpenVINO crashes and hangs on some of those.

    Raises:
        UsageError: it does; says which.
    """
    import onnx
    from google.protobuf.message import DecodeError

    newest = onnx.defs.onnx_opset_version()
    for used in _parsed(name, data).opset_import:
        if not 0 < used.version <= newest:
            raise UsageError(
                f"the graph wants version {used.version} of its operations; known are 1 to {newest}",
                where=name,
            )
    try:
        onnx.checker.check_model(data, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, DecodeError, ValueError,
            RuntimeError, TypeError) as error:  # fmt: skip
        said = str(error).strip().partition("\n")[0]
        raise UsageError(f"the graph breaks a rule of ONNX: {said[:300]}", where=name) from None


def require_opset(data: bytes, name: str = "model.onnx") -> None:
    """Refuses a graph of another version of ONNX's operations than is written here.

    Raises:
        UsageError: it is one; says which.
    """
    said = {used.domain or "ai.onnx": used.version for used in _parsed(name, data).opset_import}
    if said.get("ai.onnx") != OPSET:
        raise UsageError(
            f"the graph must be of version {OPSET} of ONNX's operations; it says {said}", where=name
        )


def _parsed(name: str, data: bytes) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise missing_package("onnx", "vision") from None
    try:
        return onnx.ModelProto.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise UsageError(f"the ONNX file is damaged: {error}", where=name) from None


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of a message, at any depth: initializers, attributes, branches, functions, sparse ones."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.DESCRIPTOR.name == "TensorProto":
            yield part
            continue
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else list(value)
