"""heads: each kind computes what it says, is rebuilt by its Model, and every program of it answers alike."""

import pytest
import torch
from torch.nn import functional

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.engine.modules import architecture, backend, heads


def net(kind, num_outputs=3, width=16):
    torch.manual_seed(0)
    module = architecture.build("mlp", {"width": width}, (1, 8, 8), 10)
    heads.replace(module, kind, num_outputs)
    return module.eval()


def test_a_cosine_head_gives_scaled_cosines_whatever_the_length_of_features_and_weights():
    head = net("cosine").head
    x = torch.randn(5, 16)
    theirs = torch.stack([functional.cosine_similarity(x, w[None], dim=-1) for w in head.weight], 1)
    torch.testing.assert_close(head(x), heads.SCALE * theirs)
    with torch.no_grad():
        before = head(x)
        head.weight.mul_(7.0)
        torch.testing.assert_close(head(3.0 * x), before)


@pytest.mark.parametrize("kind", heads.KINDS)
def test_a_model_rebuilds_its_head(kind):
    module = net(kind)
    model = backend.wrap(module, task="image_classification", assets={"image_shape": [1, 8, 8]})
    again, x = model.torch(), torch.randn(4, 1, 8, 8)
    assert heads.kind(again) == kind and model.options["num_outputs"] == 3
    assert torch.equal(again(x), module(x))
    assert backend.wrap(again, task=model.task, assets=dict(model.assets)).digest == model.digest


def test_a_linear_head_leaves_no_mark_in_the_options():
    module = net("cosine")
    heads.replace(module, "linear", 5)
    assert heads.OPTION not in backend.wrap(module).options and heads.width(module) == 16


def test_a_net_without_a_head_is_refused():
    with pytest.raises(UsageError, match="features"):
        heads.of(torch.nn.Linear(2, 2))


def test_a_cosine_head_is_exported_and_cooled_with_its_answers():
    with using(Session(store=None)):
        data = li.load("digits", num_train=200, validation=0.2)
        model = li.pretrain.train(data, net="mlp", epochs=2, precision="float32")
        made = li.adapt.prototype(model, data)
        cooled = li.adapt.calibrate(made, data)
        program = li.deploy.export(cooled, data, format="onnx", runtime="onnxruntime", tolerance=1e-4)
        assert li.evaluate(program, data).value == li.evaluate(made, data).value


@pytest.fixture(scope="module")
def learnt():
    with using(Session(store=None)):
        data = li.load("digits", num_train=400, validation=0.2)
        return li.pretrain.train(data, net="cnn", epochs=8, precision="float32"), data


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "cosine"])
def test_it_learns_and_is_exported_calibrated_pruned_and_quantized(kind, learnt):
    model, data = learnt
    with using(Session(store=None)):
        made = li.adapt.finetune(model, data, freeze="body", head_kind=kind, head_epochs=20, epochs=1,
                                 precision="float32")  # fmt: skip
        assert heads.kind(made.torch()) == kind
        value = li.evaluate(made, data).value
        assert value > 0.9
        li.deploy.export(made, data, format="onnx", runtime="onnxruntime", tolerance=1e-4)
        cooled = li.adapt.calibrate(made, data)
        assert li.evaluate(cooled, data).value == value
        slim = li.compress.prune(made, data, speedup=1.3, epochs=1)
        assert slim.num_params < made.num_params and heads.kind(slim.torch()) == kind
        li.compress.quantize(made, data, runtime="onnxruntime", max_drop=0.05)
