"""eightbits: an ONNX graph whose matrices and tables are whole numbers of eight bits, for ONNX Runtime.

Nets of texts are mostly these. Activations stay in float between layers: a product rounds what it reads by
itself, a group of numbers at a time, so that no range has to be measured, a token that is louder than all
others spoils none of them, and a text is answered the same whatever stands beside it. Of a table only the
rows that are read become floats. Cells that remember (GRU, LSTM) stay in float.

Shapes: V tokens, D width, N outputs, K inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch

from lichen.engine.modules import rounding
from lichen.engine.modules.rounding import Rounded
from lichen.engine.programs import graph
from lichen.engine.programs.gptfile import INT8_ARITHMETIC, MICROSOFT

BITS = 8
SMALLEST, LARGEST = 16, 128
"""Inputs that share a scale: powers of two that ONNX Runtime takes."""
LIMIT = 127
"""Of a number of a table, either way."""


def rounded(onnx: bytes, *, excluded: Collection[str] = ()) -> bytes:
    """The graph with its matrices rounded.

    Args:
        excluded: names of nodes that stay in float.
    """
    import onnx as library

    model = library.load_from_string(onnx)
    drawn = _Drawn(library, model.graph)
    for node in list(model.graph.node):
        drawn.add(node, is_whole=node.name in excluded)
    drawn.close()
    model.opset_import.append(library.helper.make_opsetid(MICROSOFT, 1))
    return graph.plain(model)


class _Drawn:
    """A graph that is drawn again, node by node."""

    def __init__(self, library: Any, drawn: Any) -> None:
        self.library, self.graph = library, drawn
        self.nodes: list[Any] = []
        self.rounded: dict[str, Any] = {}
        self.held = {tensor.name: tensor for tensor in drawn.initializer
                     if tensor.data_type == library.TensorProto.FLOAT and len(tensor.dims) == 2}  # fmt: skip

    def add(self, node: Any, *, is_whole: bool) -> None:
        """A node as it is, or by a matrix of whole numbers where it has one."""
        is_table = node.op_type == "Gather" and node.input[0] in self.held
        is_product = node.op_type in ("MatMul", "Gemm") and node.input[1] in self.held
        draw = self._look_up if is_table else self._multiply if is_product else None
        if is_whole or draw is None or not draw(node):
            self.nodes.append(node)

    def _look_up(self, node: Any) -> bool:
        """Rows of a table, each with a scale of its own; False: what is read are columns."""
        if self._option(node, "axis", 0) != 0:
            return False
        name, out = node.input[0], node.output[0]
        table_VD = self._array(name)
        scale_V1 = np.abs(table_VD).max(1, keepdims=True) / LIMIT
        scale_V1[scale_V1 == 0.0] = 1.0
        held = {f"{name}.rows": np.rint(table_VD / scale_V1).astype(np.int8), f"{name}.lengths": scale_V1}
        self._hold(held)
        numbers, scales = held
        make = self.library.helper.make_node
        self.nodes += [
            make("Gather", [numbers, node.input[1]], [f"{out}.numbers"], name=node.name),
            make("Cast", [f"{out}.numbers"], [f"{out}.floats"], name=f"{node.name}.cast", to=1),
            make("Gather", [scales, node.input[1]], [f"{out}.scales"], name=f"{node.name}.scales"),
            make("Mul", [f"{out}.floats", f"{out}.scales"], [out], name=f"{node.name}.scaled"),
        ]
        return True

    def _multiply(self, node: Any) -> bool:
        """x times a matrix, and a bias where there is one; False: the product is scaled or of a turned x."""
        if node.op_type == "Gemm" and (
            self._option(node, "transA", 0)
            or {self._option(node, one, 1.0) for one in ("alpha", "beta")} != {1.0}
        ):
            return False
        matrix = self._array(node.input[1])
        matrix_NK = matrix if self._option(node, "transB", 0) else matrix.T
        group = min(LARGEST, max(SMALLEST, 1 << (matrix_NK.shape[1] - 1).bit_length()))
        found = rounding.nearest(torch.from_numpy(np.ascontiguousarray(matrix_NK)), BITS, group)
        self._hold(held := _tensors(node.input[1], found))
        bias, out = list(node.input[2:3]), node.output[0]
        make = self.library.helper.make_node
        self.nodes.append(make(
            "MatMulNBits", [node.input[0], *held], [f"{out}.product" if bias else out], name=node.name,
            domain=MICROSOFT, K=matrix_NK.shape[1], N=len(matrix_NK), bits=BITS, block_size=group,
            accuracy_level=INT8_ARITHMETIC,
        ))  # fmt: skip
        if bias:
            self.nodes.append(make("Add", [f"{out}.product", *bias], [out], name=f"{node.name}.bias"))
        return True

    def _hold(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Tensors of the file by name, each once."""
        for name, array in arrays.items():
            self.rounded[name] = self.library.numpy_helper.from_array(np.ascontiguousarray(array), name)

    def _array(self, name: str) -> np.ndarray:
        return np.array(self.library.numpy_helper.to_array(self.held[name]))

    def _option(self, node: Any, name: str, default: Any) -> Any:
        found = (one for one in node.attribute if one.name == name)
        return next((self.library.helper.get_attribute_value(one) for one in found), default)

    def close(self) -> None:
        """Writes the nodes, and the tensors that they still read."""
        read = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend([*kept, *self.rounded.values()])


def _tensors(name: str, found: Rounded) -> dict[str, np.ndarray]:
    """What MatMulNBits takes of a matrix, in its order."""
    return {
        f"{name}.numbers": found.packed, f"{name}.scales": found.scales_NJ.reshape(-1),
        f"{name}.zeros": found.packed_zeros.reshape(-1),
    }  # fmt: skip
