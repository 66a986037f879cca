"""test_gate: nine planted faults are refused by name, and each check is needed for one of them."""

from functools import cache

import numpy as np
import onnx
import pytest
import torch

from lichen.core import session
from lichen.core.array import Array
from lichen.core.errors import GateError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.data import arrays, pictures
from lichen.engine.inputs import pictures as feed
from lichen.engine.modules import architecture, backend
from lichen.engine.programs import executables, gate, graph, parity

export = by_address("deploy.export")
LABELS = ["a", "b", "c", "d", "never", "seldom"]
NUM_VALIDATION = 34
ASSETS = {"labels": LABELS, "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.3], "image_shape": [3, 8, 8]}


@pytest.fixture(scope="module")
def life():
    """A net whose batch-norm has seen pictures, with its data: four colours of 120 pictures each."""
    draws = np.random.Generator(np.random.Philox(3))
    targets = np.arange(480) % 4
    images = draws.integers(0, 60, (480, 3, 8, 8))
    for row, target in enumerate(targets):
        images[row, target % 3, :, : 4 + target] += 120
    data = arrays.arrays(images.astype("uint8"), targets, labels=LABELS)
    torch.manual_seed(0)
    module = architecture.build("adapted:build", {}, (3, 8, 8), len(LABELS))
    norm = module.body[1]
    norm.running_mean.copy_(torch.linspace(-1, 1, 8))
    norm.running_var.copy_(torch.linspace(0.2, 2, 8))
    module.head.bias.data[4:] -= 4  # never answered
    assert data.num_rows("validation") == NUM_VALIDATION
    return backend.wrap(module, task="image_classification", assets=ASSETS), data


def ship(life, **options):
    with session.using(Session()):
        return export(*life, **{"runtime": "torch", "max_drop": 1.0, **options})


# The faults: each is planted where a graph is made of a model, or where a Program is put together.


def in_graph(change):
    """A fault of the module that is written as a graph, in whatever format."""

    def plant(monkeypatch):
        whole = graph.answering
        monkeypatch.setattr(graph, "answering", lambda model: change(whole(model)))

    return plant


def decoding(change):
    """A fault of the path that serves: what becomes of an encoded picture of another size."""

    def plant(monkeypatch):
        whole = feed.of_shape

        def decoded(item, where, image_shape):
            if isinstance(item, bytes):
                item = change(pictures.decode(item, image_shape[0]), image_shape)
            return whole(item, where, image_shape)

        monkeypatch.setattr(feed, "of_shape", decoded)

    return plant


def letterboxed(pixels, image_shape):
    """Black below instead of being stretched."""
    return np.pad(pixels, ((0, 0), (0, max(0, pixels.shape[2] - pixels.shape[1])), (0, 0)))


def nearest(pixels, image_shape):
    rows, columns = (np.arange(8) * side // 8 for side in pixels.shape[1:])
    return pixels[:, rows][:, :, columns]


class Around(torch.nn.Module):
    """What is done to pixels before, and to outputs after a module."""

    def __init__(self, module, before=lambda pixels: pixels, after=lambda outputs: outputs):
        super().__init__()
        self.module, self.before, self.after = module, before, after

    def forward(self, pixels):
        return self.after(self.module(self.before(pixels)))


def with_assets(**changed):
    def change(module):
        module.assets = {**module.assets, **changed}
        return module

    return in_graph(change)


def without_delta(module):
    torch.nn.init.zeros_(module.net.lora_b.weight)
    return module


def stale(module):
    module.net.body[1].reset_running_stats()
    return module


def unpadded(module):
    module.net.body[0].padding = (0, 0)
    return module


class Narrow(Around):
    """Beside the answer a sum in float16, which ends at 65504: only a white picture gets there."""

    def forward(self, pixels):
        total_B1 = 1.4 * pixels.float().sum((1, 2, 3))[:, None]
        return self.module(pixels) + 0 * total_B1.half().float()


class Saturated(Around):
    """Sums of int8 products that end at the most that 16 bits hold, as on a CPU without VNNI."""

    def forward(self, pixels):
        return self.module(pixels).clamp(-0.05, 0.05)


class Flipping(Around):
    """Some rows are answered otherwise, by their first pixel."""

    def forward(self, pixels):
        return self.module(pixels) * (1 - 2 * (pixels[:, 0, 0, 0] % 8 == 0)[:, None].float())


def in_program(**changed):
    """A fault of what a Program says beside its graph."""

    def plant(monkeypatch):
        whole = executables.build

        def build(source, files, **about):
            made = whole(source, files, **about)
            assets = {**made.assets, **changed.get("assets", {})}
            return type(made)(manifest={**made.manifest, **changed, "assets": assets}, blobs=made.blobs)

        monkeypatch.setattr(executables, "build", build)

    return plant


def older(monkeypatch):
    whole = graph.onnx_of

    def onnx_of(model):
        proto = onnx.load_from_string(whole(model))
        proto.opset_import[0].version = 19
        return proto.SerializeToString()

    monkeypatch.setattr(graph, "onnx_of", onnx_of)


def of_ir(version):
    """A fault of the version that the whole file is of."""

    def plant(monkeypatch):
        whole = graph.onnx_of

        def onnx_of(model):
            proto = onnx.load_from_string(whole(model))
            proto.ir_version = version
            return proto.SerializeToString()

        monkeypatch.setattr(graph, "onnx_of", onnx_of)

    return plant


def fixed(monkeypatch):
    """Traced for as many rows as validation has: all of them at once are answered."""

    def exported(module, row, max_rows=None, *, longest=None):
        pixels = torch.zeros(NUM_VALIDATION, *row.shape, dtype=torch.uint8)
        module(pixels)
        return torch.export.export(module, (pixels,))

    monkeypatch.setattr(graph, "exported", exported)
    monkeypatch.setattr(executables, "raced", lambda found, beside: executables.Choice(*found, {}))


NARROW = {"precision": "bfloat16", "runtime": "openvino"}
OUTPUTS = "require_outputs require_answers"
FAULTS = {
    "dropped adapter": (in_graph(without_delta), OUTPUTS, "is lost: its `lora_[ab]`"),
    "no normalisation": (with_assets(mean=[0.0] * 3, std=[1.0] * 3), OUTPUTS,
                         "wrong normalisation: pictures are not normalised"),
    "figures in another order": (with_assets(mean=[0.3, 0.4, 0.5], std=[0.3, 0.2, 0.25]), OUTPUTS,
                                 "wrong normalisation: its figures are in the other order"),
    "figures a little off": (with_assets(std=[0.251, 0.2, 0.3]), "require_outputs", "no known fault"),
    "BGR for RGB": (in_graph(lambda module: Around(module, before=lambda x: x.flip(1))), OUTPUTS,
                    "BGR for RGB"),
    "permuted outputs": (in_graph(lambda module: Around(module, after=lambda y: y[:, [1, 0, 2, 3, 4, 5]])),
                         OUTPUTS, "outputs are in another order: 1, 0, 2"),
    "permuted labels": (in_program(assets={"labels": [*LABELS[:4], "seldom", "never"]}), "require_labels",
                        "permuted labels: the export's are in another order; at place 4"),
    "stale batch-norm": (in_graph(stale), OUTPUTS, "stale batch-norm"),
    "learning batch-norm": (in_graph(lambda module: module.train()), OUTPUTS, "batch-norm still learns"),
    "wrong padding in the graph": (in_graph(unpadded), OUTPUTS, "no known fault"),
    "wrong padding before it": (decoding(letterboxed), "require_pictures", "wrong padding or resize"),
    "wrong resize": (decoding(nearest), "require_pictures", "wrong padding or resize"),
    "overflow": (in_graph(Narrow), "require_finite", "overflow in float32: .* ends of the range"),
    "wrong opset": (older, "require_version", "wrong version of operations.*version 20.*19"),
    "wrong version of the file": (of_ir(2), "require_version", "wrong version of operations.*IR version"),
    "fixed batch size": (fixed, "require_batches", "fixed batch size: 32 rows at once"),
    "answers flipped": (in_graph(Flipping), "require_answers", "may be answered otherwise"),
    "saturated sums": (in_graph(Saturated), "require_answers", "may be answered otherwise"),
}  # fmt: skip
OF_ONNX = {"runtime": "onnxruntime"}
OPTIONS = {"wrong opset": OF_ONNX, "wrong version of the file": OF_ONNX, "answers flipped": NARROW,
           "saturated sums": NARROW}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_refused_by_name_and_leaves_without_its_checks(life, monkeypatch, name):
    plant, seen_by, words = FAULTS[name]
    plant(monkeypatch)
    for write in ("onnx_of", "torch_of"):  # the faulty file, which takes seconds, is the same for both
        monkeypatch.setattr(graph, write, cache(getattr(graph, write)))
    with pytest.raises(GateError, match=words):
        ship(life, **OPTIONS.get(name, {}))
    for checks in ("FIT", "SAME"):
        kept = tuple(check for check in getattr(gate, checks) if check.__name__ not in seen_by.split())
        monkeypatch.setattr(gate, checks, kept)
    if gate.require_batches not in gate.FIT:
        monkeypatch.setattr(gate, "BATCHES", ())
    assert ship(life, **OPTIONS.get(name, {})).format


def test_every_check_is_the_only_one_to_see_some_fault():
    alone = {seen_by for _, seen_by, _ in FAULTS.values()}
    assert {check.__name__ for check in (*gate.FIT, *gate.SAME)} <= alone


def test_a_program_for_pictures_of_another_size_is_refused(life, monkeypatch):
    in_program(assets={"image_shape": [3, 12, 12]})(monkeypatch)
    with pytest.raises(GateError, match="wrong resize: the export takes pictures of"):
        ship(life)


def test_what_has_no_fault_leaves_with_its_figures_by_torch(life):
    with session.using(Session()) as here:
        program = export(*life, format="torch")
    assert (program.format, program.runtime) == ("torch", "torch")
    assert set(program.made.call.decisions["runtime"]["latency_ms"]) == {"torch/float32"} and here


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dropped adapter", "BGR for RGB", "stale batch-norm", "no normalisation"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "executorch"])
def test_a_planted_fault_is_refused_in_every_format(life, monkeypatch, name, runtime):
    plant, _, words = FAULTS[name]
    plant(monkeypatch)
    with pytest.raises(GateError, match=words):
        ship(life, runtime=runtime)


def test_a_fault_nobody_knows_is_not_given_a_name(life):
    model, data = life
    weights = model.weights()
    weights["head.weight"] = Array.of(weights["head.weight"].numpy() * 1.01)
    made = graph.torch_of(model.with_weights(weights))
    program = executables.build(model, {"model.pt2": made}, runtime="torch", precision="float32")
    with pytest.raises(GateError, match="no known fault explains it"):
        gate.require_same(
            parity.Reference(model, data), program, gate.Terms(tolerance=1e-4, max_drop=0.0, max_flips=0.0)
        )
