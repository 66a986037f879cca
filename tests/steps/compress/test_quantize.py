"""test_quantize: int8 is smaller, answers nearly as the model does, and is refused where it does not."""

import numpy as np
import onnx
import pytest
import torch

from lichen.core import session
from lichen.core.errors import GateError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.data import arrays
from lichen.engine import answer
from lichen.engine.compression import quantizers
from lichen.engine.modules import backend
from lichen.engine.programs import graph
from lichen.engine.task import task_of
from lichen.steps.compress import quantize as room

quantize = by_address("compress.quantize")
NARROW = quantizers.saturates()


def pictures():
    """Three classes by the direction of stripes, over noise; told apart with room to spare on any machine."""
    draws = np.random.Generator(np.random.Philox(1))
    targets = np.arange(600) % 3
    y, x = np.mgrid[:8, :8]
    stripes = np.stack([x % 2, y % 2, (x + y) % 2])[targets]
    images = 120 * stripes[:, None] + draws.integers(0, 120, (600, 1, 8, 8))
    return arrays.arrays(images.astype("uint8"), targets, labels=["a", "b", "c"])


@pytest.fixture(scope="module")
def life():
    data = pictures()
    with session.using(Session()):
        return by_address("pretrain.train")(data, net="cnn", epochs=6), data


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_each_format_is_smaller_and_answers_nearly_the_same(life, runtime):
    model, data = life
    with session.using(Session()):
        program = quantize(model, data, runtime=runtime, num_calibration=60)
    assert (program.runtime, program.precision) == (runtime, "int8")
    assert program.size_bytes < 0.5 * model.size_bytes
    images = data.rows("test").images
    exact, found = answer.logits(model, images), answer.logits(program, images)
    assert np.abs(found - exact).mean() < 0.1 * np.abs(exact).mean()
    assert not np.array_equal(found, exact)


@pytest.mark.slow
def test_activations_are_u8_and_weights_s8_with_a_scale_per_channel(life):
    model, _ = life
    files = quantizers.by_onnxruntime(graph.onnx_of(model), data_rows(life))
    proto = onnx.load_from_string(files["model.onnx"])
    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    filters = [tensor for tensor in held.values() if len(tensor.dims) == 4]
    assert filters and all(tensor.data_type == onnx.TensorProto.INT8 for tensor in filters)
    kinds = {held[node.input[2]].data_type for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    assert kinds == {onnx.TensorProto.UINT8}
    names = {tensor.name for tensor in filters}
    nodes = [
        node for node in proto.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in names
    ]
    per_channel = [held[node.input[1]].dims for node in nodes]
    assert sorted(list(dims) for dims in per_channel) == sorted([tensor.dims[0]] for tensor in filters)


def data_rows(life, num_rows=40):
    model, data = life
    return room.calibration(data, model, num_rows, seed=0)


def test_ranges_are_measured_on_train_rows_only(life):
    model, data = life
    train = {row.tobytes() for row in data.rows("train").images}
    rows = data_rows(life)
    assert len(rows) == 40 and all(row.tobytes() in train for row in rows)
    assert np.array_equal(rows, data_rows(life))
    assert not np.array_equal(rows, room.calibration(data, model, 40, seed=1))


@pytest.mark.slow
def test_a_ruined_calibration_is_refused_with_everything_that_was_tried(life, monkeypatch):
    """Calibrated on one grey, the mean of all pixels, every picture saturates."""
    model, data = life
    grey = np.uint8(np.rint(data.rows("train").images.mean()))
    monkeypatch.setattr(room, "calibration", lambda *_: np.full((20, 1, 8, 8), grey))
    notes = []
    with session.using(Session()) as here, pytest.raises(GateError) as caught:
        here.events.sinks.append(notes.append)
        quantize(model, data)
    message = caught.value.message
    assert (
        "accuracy may drop by 0.01 at most; int8 was tried with every layer (onnxruntime/int8 accuracy"
        in message
    )
    for words in (
        "all but the first and last layer",
        "most sensitive quarter",
        "most sensitive half",
        "openvino/int8",
    ):
        assert words in message
    assert "a drop of" in message and "[" in message
    assert sum("int8 costs too much" in event.get("text", "") for event in notes) == 4


def test_a_layer_that_int8_ruins_stays_in_float(life, monkeypatch):
    """Whatever quantizes the first layer is broken: the next attempt leaves it out."""
    model, data = life
    first = quantizers.layers(graph.onnx_of(model))[0]
    whole = quantizers.by_onnxruntime

    def broken(onnx_bytes, rows, *, excluded=(), is_narrow=False):
        return whole(
            onnx_bytes, rows if first in excluded else rows * 0 + 9, excluded=excluded, is_narrow=is_narrow
        )

    monkeypatch.setattr(quantizers, "OF_PICTURES", (quantizers.Way("onnxruntime", broken),))
    notes = []
    with session.using(Session()) as here:
        here.events.sinks.append(notes.append)
        program = quantize(model, data)
    assert program.precision == "int8"
    assert any(
        event.get("text", "").startswith("all but the first and last layer in int8") for event in notes
    )


def test_float32_is_the_neutral_option_and_int8_is_raced_beside_it(life):
    model, data = life
    assert quantize.signature.removal() == {"precision": "float32"}
    with session.using(Session()):
        plain = quantize(model, data, precision="float32")
        small = quantize(model, data)
    assert plain.precision == "float32"
    assert set(small.made.call.decisions["runtime"]["latency_ms"]) == {
        "onnxruntime/int8", "openvino/int8", "onnxruntime/float32", "openvino/float32"}  # fmt: skip


@pytest.mark.parametrize(("ms", "size", "words"), [(2.0, 10, "not faster"), (0.5, 10**9, "not smaller")])
def test_it_says_so_where_int8_is_not_worth_it(ms, size, words):
    class Sized:
        def __init__(self, size_bytes):
            self.size_bytes = size_bytes

    said = []

    class Run:
        def emit(self, kind, text):
            said.append((kind, text))

    choice = room.executables.Choice("onnxruntime/int8", {"onnxruntime/int8": ms, "onnxruntime/float32": 1.0})
    room._warn(Sized(size), choice, {"onnxruntime/float32": Sized(1000)}, Run())
    assert [kind for kind, _ in said] == ["warning"] and words in said[0][1]


@pytest.mark.slow
def test_the_layer_beside_a_planted_wide_channel_is_the_most_sensitive(life):
    """One channel a thousand times as loud, and heard a thousandth as much: the same answers in float32.

    In int8 its range drowns all other channels of the layer that gives it and of the one that takes it.
    """
    model, rows = life[0], data_rows(life)
    module = model.torch()
    giving, taking = (layer for layer in module.modules() if getattr(layer, "in_channels", 1) > 1)
    heard = []
    giving.register_forward_hook(lambda layer, inputs, outputs: heard.append(outputs.relu().mean((0, 2, 3))))
    module(task_of(model.task).inputs(torch.from_numpy(rows), model.assets))
    channel = int(heard[0].argmax())  # a silent one would drown nothing
    with torch.no_grad():
        giving.weight[channel] *= 1000
        giving.bias[channel] *= 1000
        taking.weight[:, channel] /= 1000
    loud = model.with_weights(backend.arrays_of(module))
    np.testing.assert_allclose(answer.logits(loud, rows), answer.logits(model, rows), rtol=1e-3, atol=1e-3)
    plain, moved = (
        quantizers.sensitivities(graph.onnx_of(of), rows, is_narrow=NARROW) for of in (model, loud)
    )
    first, second, *others = sorted(moved, key=lambda name: -moved[name])
    assert {first, second} == set(quantizers.layers(graph.onnx_of(loud))[1:3])
    assert min(moved[first], moved[second]) > 50 * max(moved[name] for name in others)
    assert max(plain.values()) < 0.1 * moved[second]
    notes = []
    with session.using(Session()) as here:
        here.events.sinks.append(notes.append)
        assert quantize(loud, life[1], runtime="onnxruntime").precision == "int8"
    said = [event.get("text", "") for event in notes]
    assert any(text.startswith("all but the most sensitive half of the layers in int8") for text in said)
