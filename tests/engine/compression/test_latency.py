"""test_latency: layers by shape, looked up and added up; nothing here is timed."""

import onnx
import pytest
import torch
from torch import nn

from lichen.engine.compression import latency
from lichen.engine.compression.latency import Shape
from lichen.engine.modules import architecture, macs
from lichen.engine.programs import runtimes


def test_shapes_are_those_that_a_picture_meets():
    net = architecture.build("resnet20", {}, (3, 16, 16), 5).eval()
    found = latency.shapes_of(net, (3, 16, 16))
    assert found["layer2.0.conv1"] == Shape(
        fan_in=16, width=32, kernel=(3, 3), stride=(2, 2), padding=(1, 1), side=(16, 16)
    )
    assert found["head"] == Shape(fan_in=64, width=5)
    assert str(found["head"]) == "64>5 k1x1 s1x1 p0x0 d1x1 g1 at 1x1"


def test_the_work_of_the_shapes_is_the_work_of_the_net():
    net = architecture.build("timm/mobilenetv2_050", {}, (3, 32, 32), 5).eval()
    total = 0
    for shape in latency.shapes_of(net, (3, 32, 32)).values():
        height, width = shape.side_out
        total += (
            shape.width * height * width * (shape.fan_in // shape.groups) * shape.kernel[0] * shape.kernel[1]
        )
    assert total == macs.count(net, (3, 32, 32))


def test_a_narrower_shape_loses_outputs_or_inputs_and_a_depthwise_one_both():
    plain = Shape(fan_in=16, width=32)
    assert plain.narrowed(writes=0.5, reads=0.25) == Shape(fan_in=4, width=16)
    each = Shape(fan_in=8, width=8, groups=8)
    assert each.narrowed(writes=0.5) == each.narrowed(reads=0.5) == Shape(fan_in=4, width=4, groups=4)


@pytest.mark.parametrize("shape", [
    Shape(fan_in=4, width=6, kernel=(3, 3), stride=(2, 2), padding=(1, 1), side=(9, 7)),
    Shape(fan_in=4, width=4, groups=4, kernel=(5, 3), padding=(2, 1), dilation=(1, 2), side=(8, 8)),
])  # fmt: skip
def test_the_graph_of_copies_is_a_sum_of_layers_of_this_shape(shape):
    data = latency._graph_of(shape, 3)
    weights = [
        torch.tensor(onnx.numpy_helper.to_array(held))
        for held in onnx.load_from_string(data).graph.initializer
    ]
    x = torch.randn(1, shape.fan_in, *shape.side)
    total = torch.zeros(1, shape.width, *shape.side_out)
    for weight in weights[::2]:
        y = nn.functional.conv2d(x, weight, None, shape.stride, shape.padding, shape.dilation, shape.groups)
        total = torch.relu(total + y)
    found = runtimes.load("onnxruntime", {"model.onnx": memoryview(data)}, threads=1)(x.numpy())
    torch.testing.assert_close(torch.tensor(found), total, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_shape_has_a_time_and_layers_without_channels_take_none(runtime):
    shapes = {Shape(fan_in=3, width=8), Shape(fan_in=8, width=2), Shape(fan_in=8, width=0)}
    table = latency.measured(shapes, runtime)
    assert sorted(table) == sorted(str(shape) for shape in shapes if shape.width)
    assert all(time_ms >= 0.0 for time_ms in table.values())
    assert (
        latency.total_ms([Shape(fan_in=8, width=0), Shape(fan_in=3, width=8)], table)
        == table[str(Shape(fan_in=3, width=8))]
    )
