"""gptfile: a gpt as an ONNX graph that keeps what it has read, so that a token costs one token.

What reads the graph gives it, beside new tokens, the keys and values of those before (in buffers that the
graph fills further, `room` tokens long), how many there are, and a bias that hides other documents. Without
tokens before, it answers about whole texts. Matrices are float32, or whole numbers of few bits with a scale
per group, which are never written out as floats. Operations of `com.microsoft` are ONNX Runtime's own.

Shapes: B rows, T new tokens, S tokens in all, P places that are told about, R room, V different tokens, D
width, G heads of keys, K width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.errors import StepError, UsageError, missing_package
from lichen.core.model import Model
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.modules.rounding import Rounded
from lichen.engine.programs import graph, onnxfile
from lichen.engine.programs.teller import BIAS, LENGTHS, LOGITS, NEW, PLACES, TOKENS, TOTAL
from lichen.layers.attention import Attention
from lichen.layers.block import Block, Mlp
from lichen.nets.gpt import Gpt

MICROSOFT = "com.microsoft"
HEAD = 16
"""ONNX Runtime's attention over a cache takes heads of multiples of this width."""
INT8_ARITHMETIC = 4
"""MatMulNBits may round what it multiplies to eight bits: a third of the time, and the gate sees it."""


def key_of(layer: int) -> str:
    return f"keys.{layer}"


def value_of(layer: int) -> str:
    return f"values.{layer}"


def matrices_of(net: Gpt) -> dict[str, Tensor]:
    """Every matrix of the graph by name, (outputs, inputs): those of layers that read the same are one."""
    found = {"tokens": net.tokens.weight}
    for layer, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        attention, mlp = block.attention, block.mlp
        found[f"{layer}.qkv"] = torch.cat(
            [attention.query.weight, attention.key.weight, attention.value.weight]
        )
        found[f"{layer}.out"] = attention.out.weight
        found[f"{layer}.up"] = (
            mlp.up.weight if mlp.gate is None else torch.cat([mlp.gate.weight, mlp.up.weight])
        )
        found[f"{layer}.down"] = mlp.down.weight
    found["head"] = net.head.weight
    return {name: matrix.detach() for name, matrix in found.items()}


def is_for(model: Model) -> bool:
    """Whether a model is a gpt that tells tokens."""
    if not feeds.are_packed(model.assets) or model.net is None:
        return False
    module = backend.module_of(model)
    try:
        require(module)
    except UsageError:
        return False
    return True


def of(model: Model) -> bytes:
    """The ONNX file of a language model in float32."""
    return written(backend.module_of(model), model.assets["max_tokens"])


def require(net: nn.Module) -> None:
    """Refuses what has no graph with a cache.

    Raises:
        UsageError: it is no gpt that tells tokens.
    """
    if not isinstance(net, Gpt) or net.reads_whole:
        raise UsageError(
            f"a graph with a cache is made of a gpt that tells tokens, not of a {type(net).__name__}"
        )
    if net.virtual is not None:
        raise UsageError(
            "a graph with a cache has no place for a learnt prompt", hint="--format lichen keeps it"
        )
    if net.head_width % HEAD:
        raise UsageError(f"heads in a graph with a cache are a multiple of {HEAD} wide, not {net.head_width}")


def written(net: nn.Module, room: int, rounded: Mapping[str, Rounded] | None = None) -> bytes:
    """The ONNX file of a net.

    Args:
        room: tokens that a row may have in all.
        rounded: matrices that stand in for those of `matrices_of`.

    Raises:
        UsageError: it is no gpt that tells tokens.
        StepError: it is over 2 GB.
    """
    require(net)
    assert isinstance(net, Gpt)
    drawn = _Graph(matrices_of(net), dict(rounded or {}))
    hidden = _blocks(drawn, net, room)
    places = drawn.add("Gather", [hidden, PLACES], axis=1)
    drawn.multiply(places, "head", out=LOGITS)
    return drawn.written(net, room)


class _Graph:
    """Nodes and tensors as they come."""

    def __init__(self, matrices: Mapping[str, Tensor], rounded: Mapping[str, Rounded]) -> None:
        try:
            import onnx
        except ImportError:
            raise missing_package("onnx", "vision") from None
        self.onnx, self.matrices, self.rounded = onnx, matrices, rounded
        self.nodes: list[Any] = []
        self.held: dict[str, Any] = {}

    def hold(self, name: str, array: np.ndarray) -> str:
        """A tensor of the file."""
        if name not in self.held:
            self.held[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def add(
        self, kind: str, inputs: list[str], *, outputs: list[str] | str = "", own: bool = False, **how: Any
    ) -> str:
        """A node; the name of its first output.

        Args:
            outputs: their names; none: one is made up.
            own: the operation is ONNX Runtime's own.
        """
        names = [outputs] if isinstance(outputs, str) else outputs
        names = [names[0] or f"{kind}_{len(self.nodes)}", *names[1:]]
        domain, name = MICROSOFT if own else "", f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, names, name=name, domain=domain, **how))
        return names[0]

    def multiply(self, x: str, name: str, out: str = "") -> str:
        """x times a matrix, whole or rounded."""
        if name not in self.rounded:
            return self.add("MatMul", [x, self._whole(name)], outputs=out)
        found = self.rounded[name]
        num_out, num_in = self.matrices[name].shape
        inputs = [x, self.hold(f"{name}.numbers", found.packed),
                  self.hold(f"{name}.scales", found.scales_NJ.reshape(-1)),
                  self.hold(f"{name}.zeros", found.packed_zeros.reshape(-1))]  # fmt: skip
        return self.add("MatMulNBits", inputs, outputs=out, own=True, K=num_in, N=num_out, bits=found.bits,
                        block_size=found.group, accuracy_level=INT8_ARITHMETIC)  # fmt: skip

    def _whole(self, name: str) -> str:
        """A matrix as MatMul takes it, (inputs, outputs); of a tied head the table, once in the file."""
        matrix, table = self.matrices[name], self.matrices["tokens"]
        if name == "head" and "tokens" not in self.rounded and matrix.data_ptr() == table.data_ptr():
            return self.add("Transpose", [self.hold("tokens.weight", table.float().numpy())], perm=[1, 0])
        return self.hold(f"{name}.weight", matrix.float().numpy().T)

    def look_up(self, numbers: str, name: str) -> str:
        """The rows of a matrix that numbers name."""
        if name not in self.rounded:
            table = self.hold(f"{name}.weight", self.matrices[name].float().numpy())
            return self.add("Gather", [table, numbers])
        found = self.rounded[name]
        flat = found.packed.reshape(len(found.packed), -1)
        inputs = [self.hold(f"{name}.numbers", flat), numbers, self.hold(f"{name}.scales", found.scales_NJ),
                  self.hold(f"{name}.zeros", found.packed_zeros)]  # fmt: skip
        return self.add("GatherBlockQuantized", inputs, own=True, bits=found.bits, block_size=found.group,
                        gather_axis=0, quantize_axis=1)  # fmt: skip

    def written(self, net: Gpt, room: int) -> bytes:
        helper, kinds = self.onnx.helper, self.onnx.TensorProto

        def said(name: str, kind: int, shape: list[Any]) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        inputs = [said(TOKENS, kinds.INT32, ["B", "T"]), said(LENGTHS, kinds.INT32, ["B"]),
                  said(TOTAL, kinds.INT32, [1]), said(BIAS, kinds.FLOAT, ["B", 1, "T", "S"]),
                  said(PLACES, kinds.INT64, ["P"])]  # fmt: skip
        outputs = [said(LOGITS, kinds.FLOAT, ["B", "P", net.head.out_features])]
        for layer, block in enumerate(cast("list[Block]", list(net.blocks))):
            width = block.attention.head_width
            groups = block.attention.key.out_features // width
            for name in (key_of(layer), value_of(layer)):
                inputs.append(said(name, kinds.FLOAT, ["B", groups, "R", width]))
                outputs.append(said(NEW + name, kinds.FLOAT, ["B", groups, "R", width]))
        drawn = helper.make_graph(self.nodes, "gpt", inputs, outputs, list(self.held.values()))
        opsets = [helper.make_opsetid("", onnxfile.OPSET), helper.make_opsetid(MICROSOFT, 1)]
        made = helper.make_model(drawn, opset_imports=opsets)
        made.ir_version = 10
        made.metadata_props.add(key="end", value=str(net.end))
        if made.ByteSize() > graph.WEIGHT_LIMIT_BYTES:
            raise StepError(f"an ONNX file holds 2 GB at most; this net has {made.ByteSize() / 1e9:.1f} GB")
        return made.SerializeToString(deterministic=True)


def _blocks(drawn: _Graph, net: Gpt, room: int) -> str:
    """What the last norm gives, (B, T, D)."""
    width = net.head_width
    rates_K = net.base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles_RK = torch.arange(room + 1)[:, None] * rates_K
    cos, sin = drawn.hold("cos", angles_RK.cos().numpy()), drawn.hold("sin", angles_RK.sin().numpy())
    blocks = cast("list[Block]", list(net.blocks))
    x = drawn.look_up(TOKENS, "tokens")
    first = blocks[0].before_attention
    weight = drawn.hold("0.before_attention.weight", first.weight.detach().numpy())
    normed = _norm(drawn, x, weight, first.epsilon)
    nexts = [(one.before_attention, f"{layer}.before_attention") for layer, one in enumerate(blocks)][1:]
    for layer, (block, (after, name)) in enumerate(zip(blocks, [*nexts, (net.norm, "norm")], strict=True)):
        added = _attention(drawn, block.attention, normed, layer, cos, sin)
        x, normed = _added(drawn, x, added, block.before_mlp, f"{layer}.before_mlp")
        added = _mlp(drawn, block.mlp, normed, layer)
        x, normed = _added(drawn, x, added, after, name)
    return normed


def _norm(drawn: _Graph, x: str, weight: str, epsilon: float) -> str:
    """x / rms(x) * weight, in ONNX's own words, which the runtime knows as one."""
    square = drawn.add("Pow", [x, drawn.hold("two", np.array(2, np.float32))])
    mean = drawn.add("ReduceMean", [square, drawn.hold("last", np.array([-1], np.int64))])
    near = drawn.add("Add", [mean, drawn.hold("epsilon", np.array(epsilon, np.float32))])
    return drawn.add("Mul", [drawn.add("Div", [x, drawn.add("Sqrt", [near])]), weight])


def _added(drawn: _Graph, x: str, added: str, norm: Any, name: str) -> tuple[str, str]:
    """The sum, and the sum normed."""
    weight = drawn.hold(f"{name}.weight", norm.weight.detach().numpy())
    outputs = [f"normed_{len(drawn.nodes)}", "", "", f"sum_{len(drawn.nodes)}"]
    normed = drawn.add(
        "SkipSimplifiedLayerNormalization", [x, added, weight], outputs=outputs, own=True,
        epsilon=norm.epsilon,
    )  # fmt: skip
    return outputs[-1], normed


def _attention(drawn: _Graph, attention: Attention, normed: str, layer: int, cos: str, sin: str) -> str:
    width = attention.head_width
    heads, groups = (part.out_features // width for part in (attention.query, attention.key))
    qkv = drawn.multiply(normed, f"{layer}.qkv")
    read = _normed_heads(drawn, attention, qkv, layer) if attention.qk_norm else [qkv, "", ""]
    inputs = [*read, key_of(layer), value_of(layer), LENGTHS, TOTAL, cos, sin, "", BIAS]
    mixed = drawn.add(
        "GroupQueryAttention", inputs, outputs=["", NEW + key_of(layer), NEW + value_of(layer)],
        own=True, num_heads=heads, kv_num_heads=groups, do_rotary=1,
    )  # fmt: skip
    return drawn.multiply(mixed, f"{layer}.out")


def _normed_heads(drawn: _Graph, attention: Attention, qkv: str, layer: int) -> list[str]:
    """Queries, keys and values apart, the first two normed head by head."""
    width = attention.head_width
    sizes = [attention.query.out_features, attention.key.out_features]
    both, value = f"both_{layer}", f"value_{layer}"
    parts = drawn.hold(f"{layer}.parts", np.array([sum(sizes), sizes[1]], np.int64))
    drawn.add("Split", [qkv, parts], outputs=[both, value], axis=-1)
    by_head = drawn.add("Reshape", [both, drawn.hold("by_head", np.array([0, 0, -1, width], np.int64))])
    normed = _norm(drawn, by_head, drawn.hold("ones", np.ones(width, np.float32)), attention.epsilon)
    flat = drawn.add("Reshape", [normed, drawn.hold("flat", np.array([0, 0, -1], np.int64))])
    query, key = f"query_{layer}", f"key_{layer}"
    drawn.add("Split", [flat, drawn.hold(f"{layer}.sizes", np.array(sizes, np.int64))],
              outputs=[query, key], axis=-1)  # fmt: skip
    return [query, key, value]


def _mlp(drawn: _Graph, mlp: Mlp, normed: str, layer: int) -> str:
    both = drawn.multiply(normed, f"{layer}.up")
    if mlp.gate is None:
        risen = drawn.add("Relu", [both])
        return drawn.multiply(drawn.add("Mul", [risen, risen]), f"{layer}.down")
    gate, up = f"gate_{layer}", f"up_{layer}"
    drawn.add("Split", [both], outputs=[gate, up], axis=-1, num_outputs=2)
    opened = drawn.add("QuickGelu", [gate], own=True, alpha=1.0)
    return drawn.multiply(drawn.add("Mul", [opened, up]), f"{layer}.down")
