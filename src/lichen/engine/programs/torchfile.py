"""torchfile: an archive of torch.export without a pickle or code in it, and the check that a file is one.

torch's reader unpickles what an archive says is pickled, calls whatever of torch a graph names, evaluates
its sizes and guards as Python, and loads libraries. So a file is let through to it only if it holds nothing
but what is written here: plain tensors and operators of aten, sizes that are sums and products.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from lichen.core.errors import UnsafeInputError, UsageError
from lichen.engine.quiet import quietly

NAME = "model.pt2"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""A fixed date in the archive: equal graphs give equal files."""
OPERATIONS, SCHEMA = 10, 8
"""The version of aten's operators and the major version of the archive that are written and read."""
ENTRY = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt"
)
PAYLOADS = {"weights": re.compile(r"weight_\d+"), "constants": re.compile(r"tensor_\d+")}
OPERATOR = re.compile(r"torch\.ops\.aten\.([a-z_0-9]+)\.[A-Za-z_0-9]+")
SIZES = re.compile(r"_operator\.(add|sub|mul|floordiv|mod|ge|le|gt|lt|eq|ne|getitem)"
                   r"|torch\.sym_(max|min|not|ite)|math\.(ceil|floor|trunc)")  # fmt: skip
PRIVATE = frozenset({
    "_adaptive_avg_pool2d", "_assert_scalar", "_assert_tensor_metadata", "_log_softmax",
    "_native_batch_norm_legit_no_training", "_softmax", "_to_copy", "_unsafe_view",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_weight_norm", "_weight_norm_interface",
})  # fmt: skip
"""Operators of aten that check what they are given although their names begin with a dash."""
OUTSIDE = frozenset(
    {"from_file", "set_", "set", "resize_", "resize_as_", "empty_strided", "new_empty_strided"}
)
"""Operators that open files or show memory that nobody wrote."""
WORD = re.compile(r"[\w.\-]{0,400}")
SYMBOL = re.compile(r"Symbol\('[a-z]+\d+'(, positive=True)?(, integer=True)?\)|\b[a-z]\d{1,6}\b")
ARITHMETIC = re.compile(r"(?:FloorDiv|Mod|Max|Min|\d{1,12}|[ ,()+\-]|(?<!\*)\*(?!\*)){0,400}")
TREE = frozenset({"type", "context", "children_spec", "builtins.tuple", "builtins.list", "builtins.dict",
                  "null", "[]"})  # fmt: skip
"""Words of the description of inputs and outputs: one tensor, in tuples."""
INSIDE = frozenset({"as_graph", "as_operator", "as_custom_obj", "as_string_to_argument"})
"""Arguments that are graphs, functions or objects."""


def written(exported: ExportedProgram) -> bytes:
    """The archive of an exported program, without what says how it was made: equal graphs, equal bytes."""
    exported.example_inputs = None  # torch pickles them
    for module in exported.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
                node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return require_plain(buffer.getvalue())


def read(data: bytes) -> ExportedProgram:
    """The exported program in an archive that holds nothing else.

    Raises:
        UnsafeInputError: it holds a pickle, code, a library, or names that are no operators.
        UsageError: it is no such archive, or of another version.
    """
    return torch.export.load(io.BytesIO(require_plain(data)))


def require_plain(data: bytes) -> bytes:
    """The archive once more, when it holds plain tensors and a graph of aten's operators.

    It is packed anew, so that torch's own reader of archives sees the entries that were checked.

    Raises:
        UnsafeInputError: it holds anything else; says what.
        UsageError: it is no such archive, or of another version.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _entries(archive)
        graph = json.loads(entries["models/model.json"])
        for kind in PAYLOADS:
            _require_tensors(kind, json.loads(entries[f"data/{kind}/model_{kind}_config.json"]), entries)
        _require_version(graph)
        _require_graph(graph)
    except (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, EOFError, OSError,
            RuntimeError) as error:  # fmt: skip
        raise UsageError(
            f"this is no archive of torch.export, or a damaged one: {str(error)[:200]}", where=NAME
        ) from None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, held in entries.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", EPOCH), held)
    return packed.getvalue()


def _entries(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """What is held under each name below the archive's one folder."""
    found: dict[str, bytes] = {}
    for entry in archive.infolist():
        top, _, name = entry.filename.partition("/")
        if top != "archive" or not ENTRY.fullmatch(name) or name in found or entry.compress_type:
            raise _unsafe(f"an entry {ascii(entry.filename)[:80]}")
        found[name] = archive.read(entry)
    if found.get("data/sample_inputs/model.pt"):
        raise _unsafe("sample inputs, which are a pickle")
    return found


def _require_tensors(kind: str, config: dict[str, Any], entries: dict[str, bytes]) -> None:
    """Every payload is the raw bytes of a tensor, and as large as it says."""
    for name, about in config["config"].items():
        if about["use_pickle"] is not False or not PAYLOADS[kind].fullmatch(about["path_name"]):
            raise _unsafe(f"`{name[:80]}` as a pickle or an object")
        sizes = [size["as_int"] for size in about["tensor_meta"]["sizes"]]
        held = len(entries[f"data/{kind}/{about['path_name']}"])
        if not all(type(size) is int and size >= 0 for size in sizes) or prod(sizes) > held:
            raise ValueError(f"tensor `{name[:80]}` is larger than its bytes")
    for text, _ in _texts(config):
        _require(WORD.fullmatch(text), text, "a name")


def _require_version(graph: dict[str, Any]) -> None:
    found = graph["opset_version"], graph["schema_version"]["major"]
    if found != ({"aten": OPERATIONS}, SCHEMA):
        raise UsageError(
            f"the archive must be of version {SCHEMA} with version {OPERATIONS} of aten's operators, not"
            f" {found[1]} with {found[0]}", where=NAME,
        )  # fmt: skip


def _require_graph(graph: dict[str, Any]) -> None:
    if graph["guards_code"]:
        raise _unsafe("guards, which are code")
    for node in graph["graph_module"]["graph"]["nodes"]:
        _require_operator(node["target"])
        if node["metadata"]:
            raise _unsafe("notes on its operators")
    for call in graph["graph_module"]["module_call_graph"]:
        for side in ("in_spec", "out_spec") if call["signature"] else ():
            for text, _ in _texts(json.loads(call["signature"].pop(side))):
                _require(text in TREE, text, "a part of what goes in or out")
    graph.pop("torch_version")
    for text, key in _texts(graph):
        _require(text not in INSIDE, text, "an argument")
        if key == "expr_str":
            _require(ARITHMETIC.fullmatch(SYMBOL.sub("", text)), text, "a size")
        else:
            _require(WORD.fullmatch(text), text, "a name")


def _require_operator(target: str) -> None:
    """Refuses what is not a public operator of aten, and a few that look outside or at unwritten memory."""
    if SIZES.fullmatch(target):
        return
    found = OPERATOR.fullmatch(target)
    if found is None or found[1] in OUTSIDE or (found[1].startswith("_") and found[1] not in PRIVATE):
        raise _unsafe(f"a call of {ascii(target)[:80]}")


def _texts(thing: Any) -> Iterator[tuple[str, str]]:
    """Every text of a thing of JSON with the key that it stands under, and every key."""
    waiting = [("", thing)]
    while waiting:
        key, part = waiting.pop()
        if isinstance(part, str):
            yield part, key
        elif isinstance(part, dict):
            waiting += [("", name) for name in part] + list(part.items())
        elif isinstance(part, list):
            waiting += [(key, one) for one in part]


def _require(is_so: object, text: str, what: str) -> None:
    if not is_so:
        raise _unsafe(f"{ascii(text)[:80]} as {what}")


def _unsafe(what: str) -> UnsafeInputError:
    return UnsafeInputError(
        f"an archive of torch.export must hold tensors and operators alone; this one has {what}", where=NAME
    )


def load(data: bytes, threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 (B, C, H, W) -> float32 (B, K) by the graph of an archive.

    Args:
        threads: of torch while it is asked; None: as many as there are.
    """
    with quietly():
        module = read(data).module()

    def run(images_BCHW: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), _in_threads(threads):
            return module(torch.from_numpy(np.array(images_BCHW))).numpy().astype(np.float32, copy=False)

    return run


@contextmanager
def _in_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
