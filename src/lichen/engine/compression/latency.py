"""latency: what the layers of a net cost on this machine, by their shapes.

Multiply-accumulates do not tell: a convolution of 12 channels takes as long as one of 16 where the CPU works
in sixteens. A layer's time is what one more copy of it adds to a graph, so that the cost of a call drops out.
Paper: Yang et al. 2018, "NetAdapt", section 3.3: layers are measured once and looked up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.errors import missing_package
from lichen.core.program import Program
from lichen.engine.inputs import feeds
from lichen.engine.programs import graph, race, runtimes

COPIES = 8
"""Of a layer in the longer of its two graphs; the shorter has one."""
LIMIT_S = 0.1
"""Seconds per graph that a race of all shapes may take."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """What the time of a layer depends on: a convolution, or a linear layer as one of a single pixel."""

    fan_in: int
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    side: tuple[int, int] = (1, 1)
    """Height and width of what comes in."""

    def __str__(self) -> str:
        words = [f"{self.fan_in}>{self.width}", f"k{_by(self.kernel)}", f"s{_by(self.stride)}",
                 f"p{_by(self.padding)}", f"d{_by(self.dilation)}", f"g{self.groups}",
                 f"at {_by(self.side)}"]  # fmt: skip
        return " ".join(words)

    @property
    def side_out(self) -> tuple[int, int]:
        height, width = (
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, padding, dilation, kernel, stride in zip(
                self.side, self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return height, width

    @property
    def is_depthwise(self) -> bool:
        return self.groups == self.fan_in == self.width > 1

    def narrowed(self, *, writes: float = 1.0, reads: float = 1.0) -> Shape:
        """The shape with these shares of its outputs and of its inputs."""
        if self.is_depthwise:
            width = round(self.width * min(writes, reads))
            return replace(self, fan_in=width, width=width, groups=width)
        return replace(self, fan_in=round(self.fan_in * reads), width=round(self.width * writes))


def shapes_of(module: nn.Module, image_shape: Sequence[int]) -> dict[str, Shape]:
    """The shape of each convolution and linear layer that one picture (C, H, W) passes."""
    found: dict[str, Shape] = {}

    def note(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(layer, nn.Linear):
            found[name] = Shape(fan_in=layer.in_features, width=layer.out_features)
        elif isinstance(layer, nn.Conv2d) and isinstance(layer.padding, tuple):
            found[name] = Shape(
                fan_in=layer.in_channels, width=layer.out_channels, kernel=_pair(layer.kernel_size),
                stride=_pair(layer.stride), padding=_pair(layer.padding), dilation=_pair(layer.dilation),
                groups=layer.groups, side=_pair(inputs[0].shape[2:]),
            )  # fmt: skip

    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: note(name, layer, inputs))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.inference_mode():
            module(torch.zeros(1, *image_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def measured(shapes: Iterable[Shape], runtime: str) -> dict[str, float]:
    """The time of a layer of each shape in ms, alone and one row at a time, by `str(shape)`."""
    wanted = sorted({shape for shape in shapes if shape.fan_in and shape.width})
    runners: dict[tuple[str, int], race.Runner] = {}
    for shape in wanted:
        for copies in (1, COPIES):
            files = {"model.onnx": _graph_of(shape, copies)}
            if runtime == "openvino":
                files = graph.openvino_of(files["model.onnx"])
            views = {name: memoryview(data) for name, data in files.items()}
            asked = runtimes.load(runtime, views, threads=1)
            runners[str(shape), copies] = _on(asked, shape)
    found = race.latencies_ms(
        runners, np.zeros((1, 1, 1), np.uint8), limit_s=LIMIT_S * len(runners), clock=time.process_time
    )
    return {
        str(shape): round(max(0.0, found[str(shape), COPIES] - found[str(shape), 1]) / (COPIES - 1), 6)
        for shape in wanted
    }


def total_ms(shapes: Iterable[Shape], table: Mapping[str, float]) -> float:
    """The time of some layers, one after the other; those without channels take none."""
    return math.fsum(table[str(shape)] for shape in shapes if shape.fan_in and shape.width)


def beside(before: Program, after: Program) -> dict[str, float]:
    """The time of one row of two Programs in ms, by turns on one thread: `before` and `after`.

    CPU time: a choice made while others use the core must be the one made while they do not.
    """
    runners = {
        name: runtimes.load(program.runtime, program.files(), threads=1, precision=program.precision)
        for name, program in (("before", before), ("after", after))
    }
    return race.latencies_ms(runners, feeds.drawn(before.assets), clock=time.process_time)


def _on(asked: runtimes.Runner, shape: Shape) -> race.Runner:
    """A runner that brings its own input: shapes differ, and a race hands one to all."""
    image = np.random.default_rng(0).random((1, shape.fan_in, *shape.side), np.float32)
    return lambda _: asked(image)


def _graph_of(shape: Shape, copies: int) -> bytes:
    """ONNX: so many layers of equal shape that read the same input, each added to what came before."""
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise missing_package("onnx", "vision") from None
    draws = np.random.default_rng(0)
    nodes, held, last = [], [], ""
    for copy in range(copies):
        weight = draws.standard_normal((shape.width, shape.fan_in // shape.groups, *shape.kernel)) / 100
        held += [
            numpy_helper.from_array(weight.astype(np.float32), f"weight_{copy}"),
            numpy_helper.from_array(np.zeros(shape.width, np.float32), f"bias_{copy}"),
        ]
        nodes.append(helper.make_node(
            "Conv", ["x", f"weight_{copy}", f"bias_{copy}"], [f"y_{copy}"], kernel_shape=shape.kernel,
            strides=shape.stride, pads=[*shape.padding, *shape.padding], dilations=shape.dilation,
            group=shape.groups,
        ))  # fmt: skip
        joined = f"y_{copy}"
        if last:
            nodes.append(helper.make_node("Add", [f"y_{copy}", last], [f"sum_{copy}"]))
            joined = f"sum_{copy}"
        nodes.append(helper.make_node("Relu", [joined], [last := f"z_{copy}"]))
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *side])
        for name, channels, side in (
            ("x", shape.fan_in, shape.side), (last, shape.width, shape.side_out),
        )
    )  # fmt: skip
    made = helper.make_model(
        helper.make_graph(nodes, "layers", [x], [y], held), opset_imports=[helper.make_opsetid("", 18)]
    )
    made.ir_version = 10
    return made.SerializeToString()


def _pair(sides: Any) -> tuple[int, int]:
    first, second = sides
    return int(first), int(second)


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"
