"""test_quantizers: texts become int8 in ways of their own, and the way of pictures is shown to ruin them."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lichen.engine.compression import quantizers
from lichen.engine.programs import runtimes

TOKENS, WIDTH = 40, 16
DRAWS = np.random.default_rng(0)
ROWS = DRAWS.integers(4, TOKENS, (24, 12)).astype(np.int32)
for row, length in enumerate(DRAWS.integers(2, 13, len(ROWS))):
    ROWS[row, length:] = 0  # what fills texts up


def masked():
    """A head of attention over what is told: softmax(q k' + mask) v, with -inf where nothing is told."""
    draws = np.random.default_rng(1)
    held = {"table": draws.normal(size=(TOKENS, WIDTH)), "zero": np.zeros(1), "never": np.array([-np.inf]),
            **{name: draws.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5 for name in ("q", "k", "v")},
            "head": draws.normal(size=(WIDTH, 3))}  # fmt: skip
    make = helper.make_node
    nodes = [
        make("Gather", ["table", "pixels"], ["e"], name="read"),
        *(make("MatMul", ["e", name], [f"{name}e"], name=name) for name in ("q", "k", "v")),
        make("Transpose", ["ke"], ["kt"], name="turn", perm=[0, 2, 1]),
        make("MatMul", ["qe", "kt"], ["alike"], name="alike"),
        make("Equal", ["pixels", "pad"], ["is_pad"], name="is_pad"),
        make("Where", ["is_pad", "never", "zero"], ["bias"], name="bias"),
        make("Unsqueeze", ["bias", "one"], ["mask"], name="mask"),
        make("Add", ["alike", "mask"], ["heard"], name="heard"),
        make("Softmax", ["heard"], ["share"], name="share", axis=-1),
        make("MatMul", ["share", "ve"], ["mixed"], name="mixed"),
        make("ReduceMean", ["mixed", "one"], ["mean"], name="mean", keepdims=0),
        make("MatMul", ["mean", "head"], ["y"], name="out"),
    ]
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in held.items()]
    tensors += [
        numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array(0, np.int32), "pad"),
    ]
    drawn = helper.make_graph(
        nodes, "attention", [helper.make_tensor_value_info("pixels", TensorProto.INT32, ["B", "T"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 3])], tensors,
    )  # fmt: skip
    model = helper.make_model(drawn, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def run(runtime, files, rows=ROWS):
    views = {name: memoryview(data) for name, data in files.items()}
    return runtimes.load(runtime, views, threads=1)(rows)


WAYS = [way for way in quantizers.OF_TEXTS if way.quantize is not quantizers.by_openvino]
"""Those that measure no ranges."""


@pytest.fixture(scope="module")
def graph():
    pytest.importorskip("nncf")
    data = masked()
    return data, run("onnxruntime", {"model.onnx": data})


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.runtime}, {way.words}")
def test_masks_of_texts_are_no_ranges(graph, way):
    data, wanted = graph
    found = run(way.runtime, way.quantize(data, ROWS))
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.runtime}, {way.words}")
def test_a_text_is_answered_the_same_whatever_stands_beside_it(graph, way):
    files = way.quantize(graph[0], ROWS)
    alone, together = run(way.runtime, files, ROWS[3:4]), run(way.runtime, files)
    np.testing.assert_allclose(alone[0], together[3], atol=1e-4 * np.abs(together).max())


def test_the_way_of_pictures_ruins_them(graph):
    """What was planted is what texts met before: ranges that reach to -inf."""
    data, wanted = graph
    found = run("onnxruntime", quantizers.by_onnxruntime(data, ROWS))
    assert not np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_runtime_that_is_named_has_its_ways_alone(graph):
    texts, pictures = {"tokenizer": {}}, {"image_shape": [1, 4, 4]}
    found = quantizers.ways(texts, graph[0], "openvino")
    assert [way.words for way in found] == ["int8", "int8 weights"]
    assert quantizers.ways(texts, graph[0], "auto") == list(quantizers.OF_TEXTS)
    assert quantizers.ways(pictures, graph[0], "auto") == list(quantizers.OF_PICTURES)


def test_cells_are_measured_by_nobody():
    cell = helper.make_node("GRU", ["x", "w", "r"], ["y"], name="cell", hidden_size=4)
    held = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "w", "r", "y")]
    data = helper.make_model(helper.make_graph([cell], "cell", held[:3], held[3:])).SerializeToString()
    assert quantizers.ways({"tokenizer": {}}, data, "auto") == WAYS
