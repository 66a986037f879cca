"""test_graph: a graph answers any number of rows, and equal models make equal files in any process."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from lichen.core.errors import StepError
from lichen.core.model import Model
from lichen.engine import answer
from lichen.engine.modules import architecture, backend
from lichen.engine.programs import executables, graph, runtimes

SHAPE = [3, 8, 8]
ASSETS = {"labels": list("abcd"), "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.1], "image_shape": SHAPE}
DIGESTS = """
import hashlib, json, sys
import numpy as np
sys.path.insert(0, {folder!r})
import test_graph
from lichen.engine.compression import quantizers
from lichen.engine.programs import graph
if {is_late}:  # what a process did before must not show
    graph.openvino_of(graph.onnx_of(test_graph.model("mlp")))
onnx = graph.onnx_of(test_graph.model("cifar_resnet", depth=8))
rows = test_graph.pixels(40)
files = {{"onnx": {{"model.onnx": onnx}}, "ir": graph.openvino_of(onnx)}}
files["qdq"] = quantizers.by_onnxruntime(onnx, rows)
files["nncf"] = quantizers.by_openvino(onnx, rows)
print(json.dumps({{kind: {{name: hashlib.sha256(data).hexdigest() for name, data in some.items()}}
                  for kind, some in files.items()}}))
"""


def model(net, seed=0, **options) -> Model:
    torch.manual_seed(seed)
    module = architecture.build(net, options, tuple(SHAPE), 4)
    return backend.wrap(module, task="image_classification", assets=ASSETS)


def pixels(rows, seed=0):
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, (rows, *SHAPE), np.uint8)


def process(is_late):
    script = DIGESTS.format(folder=os.path.dirname(__file__), is_late=is_late)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_equal_models_make_equal_files_in_two_processes():
    found = []
    for running in [process(is_late=False), process(is_late=True)]:
        said, complaint = running.communicate()
        assert running.returncode == 0, complaint
        found.append(json.loads(said.splitlines()[-1]))
    assert found[0] == found[1]


@pytest.mark.parametrize("net", ["mlp", "cnn", "resnet20"])
def test_both_runtimes_answer_as_the_net_for_any_number_of_rows(net):
    own = model(net)
    files = executables.files_of(own)
    for program in executables.candidates(own, files).values():
        for rows in (1, 2, 7):
            expected = answer.logits(own, pixels(rows))
            np.testing.assert_allclose(answer.logits(program, pixels(rows)), expected, rtol=1e-4, atol=1e-4)


def test_a_file_says_nothing_about_where_and_when_it_was_made():
    proto = onnx.load_from_string(graph.onnx_of(model("cnn")))
    onnx.checker.check_model(proto)
    text = str(proto)
    assert (
        "File" not in text
        and "torch" not in text
        and "/" not in "".join(node.doc_string for node in proto.graph.node)
    )
    assert [one.name for one in proto.graph.input] == ["pixels"]
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_openvino_computes_in_float32_unless_bfloat16_is_asked_for():
    own = model("cnn")
    files = {name: memoryview(data) for name, data in executables.files_of(own)["onnx"].items()}
    exact = answer.logits(own, pixels(64))
    plain = runtimes.load("openvino", files)(pixels(64))
    np.testing.assert_allclose(plain, exact, rtol=1e-4, atol=1e-5)


def test_a_net_that_no_graph_can_say_is_refused():
    class Fickle(torch.nn.Module):
        def forward(self, x):
            return x.float().mean((2, 3)) if x.float().sum() > 0 else x.float().amax((2, 3))

    with pytest.raises(StepError, match="cannot be written as a graph"):
        graph.of_module(Fickle(), np.zeros(SHAPE, np.uint8))
