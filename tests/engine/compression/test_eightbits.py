"""test_eightbits: matrices of eight bits answer nearly as before, each row by itself, no float left."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lichen.engine.compression import eightbits
from lichen.engine.programs import runtimes

TOKENS, WIDTH, HIDDEN = 60, 32, 24
DRAWS = np.random.default_rng(0)
WEIGHTS = {
    "table": DRAWS.normal(size=(TOKENS, WIDTH)), "up": DRAWS.normal(size=(WIDTH, HIDDEN)) / WIDTH**0.5,
    "down": DRAWS.normal(size=(5, HIDDEN)) / HIDDEN**0.5, "bias": DRAWS.normal(size=5),
    "odd": DRAWS.normal(size=(TOKENS, 12)),
}  # fmt: skip
ROWS = DRAWS.integers(0, TOKENS, (7, 6)).astype(np.int32)


def written(*, odd=False, **how):
    """table[x], up, relu, the mean over tokens, down; `odd`: rows of another table are given out, too."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["read"], name="look_up"),
        helper.make_node("MatMul", ["read", "up"], ["risen"], name="up"),
        helper.make_node("Relu", ["risen"], ["heard"], name="relu"),
        helper.make_node("ReduceMean", ["heard", "axis"], ["mean"], name="mean", keepdims=0),
        helper.make_node("Gemm", ["mean", "down", "bias"], ["y"], name="down", transB=1, **how),
    ]
    if odd:
        nodes += [helper.make_node("Gather", ["odd", "x"], ["z"], name="odd")]
    held = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in WEIGHTS.items()]
    held.append(numpy_helper.from_array(np.array([1]), "axis"))
    said = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 5])]
    if odd:
        said.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["B", "T", 12]))
    taken = [helper.make_tensor_value_info("x", TensorProto.INT32, ["B", "T"])]
    drawn = helper.make_graph(nodes, "small", taken, said, held)
    return helper.make_model(
        drawn, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()


def run(data, rows=ROWS):
    return runtimes.load("onnxruntime", {"model.onnx": memoryview(data)}, threads=1)(rows)


def kinds(data):
    return {node.name: node.op_type for node in onnx.load_from_string(data).graph.node}


def test_answers_are_nearly_those_of_floats_in_a_quarter_of_the_bytes():
    plain = written()
    found = eightbits.rounded(plain)
    onnx.checker.check_model(onnx.load_from_string(found))
    wanted = run(plain)
    assert 0 < np.abs(run(found) - wanted).max() < 0.02 * np.abs(wanted).max()
    held = {one.name: one for one in onnx.load_from_string(found).graph.initializer}
    assert {"table", "up", "down"}.isdisjoint(held) and "bias" in held
    floats = [one for one in held.values() if one.data_type == TensorProto.FLOAT]
    assert sum(np.prod(one.dims) for one in floats) < 200
    assert kinds(found)["up"] == kinds(found)["down"] == "MatMulNBits"
    assert held["table.rows"].data_type == TensorProto.INT8
    assert found == eightbits.rounded(plain)


def test_a_row_is_answered_the_same_whatever_stands_beside_it():
    found = eightbits.rounded(written())
    together = run(found)
    for row in range(len(ROWS)):
        np.testing.assert_allclose(run(found, ROWS[row : row + 1])[0], together[row], atol=1e-6)


def test_a_token_a_thousand_times_as_loud_spoils_no_other(monkeypatch):
    """Where one scale is of all that is multiplied, the others would be nothing beside it."""
    loud = WEIGHTS["table"].copy()
    loud[7] *= 1000
    quiet = ROWS.copy()
    quiet[quiet == 7] = 8
    quiet[0, 0] = 7
    monkeypatch.setitem(WEIGHTS, "table", loud)
    plain = written()
    wanted, said = run(plain, quiet), run(eightbits.rounded(plain), quiet)
    assert np.abs(said - wanted)[1:].max() < 0.02 * np.abs(wanted[1:]).max()


def test_what_is_excluded_stays_in_float_and_a_table_may_have_any_width():
    found = eightbits.rounded(written(odd=True), excluded=["up", "look_up"])
    held = {one.name for one in onnx.load_from_string(found).graph.initializer}
    assert kinds(found)["up"] == "MatMul" and {"up", "table", "odd.rows"} <= held and "odd" not in held
    assert run(eightbits.rounded(written(odd=True))).shape == (7, 5)


@pytest.mark.parametrize("how", [{"alpha": 0.5}, {"beta": 2.0}])
def test_a_product_that_is_scaled_stays_as_it_is(how):
    plain = written(**how)
    found = eightbits.rounded(plain, excluded=["look_up", "up"])
    assert kinds(found)["down"] == "Gemm" and np.array_equal(run(found), run(plain))
