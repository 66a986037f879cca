"""test_backend: a module out of a Model is the module that went in, narrower or in bfloat16 as it was."""

import pytest
import torch
from torch import nn

from lichen.core.errors import NotFoundError, OptionError, UsageError
from lichen.core.model import Model
from lichen.engine.modules import architecture, backend


@pytest.mark.parametrize("net", ["mlp", "cnn", "resnet20", "resnet10"])
def test_there_and_back_gives_equal_answers_and_equal_digests(net):
    module = architecture.build(net, {}, (3, 16, 16), 4).eval()
    model = backend.wrap(module, task="image_classification")
    again = model.torch()
    x = torch.linspace(0, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    assert torch.equal(again(x), module(x))
    assert torch.equal(again.head(again.features(x)), again(x))
    assert backend.wrap(again, task="image_classification").digest == model.digest


def test_bfloat16_and_counters_survive():
    module = architecture.build("resnet20", {}, (3, 8, 8), 2).to(torch.bfloat16)
    again = backend.arrays_of(module)
    assert again["conv1.weight"].dtype == "bfloat16" and again["bn1.num_batches_tracked"].shape == ()
    assert torch.equal(backend.tensor_of(again["conv1.weight"]), module.conv1.weight.detach())


def test_changing_the_module_does_not_change_the_model():
    model = backend.wrap(architecture.build("mlp", {}, (1, 4, 4), 2))
    digest, module = model.digest, model.torch()
    with torch.no_grad():
        module.head.weight.zero_()
    assert model.digest == digest and model.torch().head.weight.abs().sum() > 0


def test_a_pruned_net_is_rebuilt_from_its_narrower_tensors():
    module = architecture.build("resnet20", {}, (3, 8, 8), 2).eval()
    arrays = backend.arrays_of(module)
    block = "layer2.1."
    kept = torch.tensor([0, 3, 5, 9, 31])
    for name, axis in (("conv1.weight", 0), ("bn1.weight", 0), ("bn1.bias", 0), ("bn1.running_mean", 0),
                       ("bn1.running_var", 0), ("conv2.weight", 1)):  # fmt: skip
        tensor = backend.tensor_of(arrays[block + name])
        arrays[block + name] = backend.array_of(tensor.index_select(axis, kept))
    options = {"in_shape": [3, 8, 8], "num_outputs": 2}
    narrow = Model.build(net="resnet20", options=options, weights=arrays).torch()
    assert narrow.layer2[1].conv1.out_channels == narrow.layer2[1].conv2.in_channels == 5
    # Silencing the other channels of the wide net gives the same answers.
    with torch.no_grad():
        for layer in (module.layer2[1].bn1.weight, module.layer2[1].bn1.bias):
            mask = torch.zeros(32)
            mask[kept] = 1
            layer.mul_(mask)
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(narrow(x), module(x))


def test_weights_that_do_not_fit_are_refused_by_name():
    arrays = backend.arrays_of(architecture.build("mlp", {}, (1, 4, 4), 2))
    del arrays["head.bias"]
    model = Model.build(net="mlp", options={"in_shape": [1, 4, 4], "num_outputs": 2}, weights=arrays)
    with pytest.raises(UsageError, match=r"head\.bias"):
        model.torch()


def test_a_module_that_nothing_rebuilds_is_refused():
    with pytest.raises(UsageError, match="does not rebuild"):
        backend.wrap(nn.Sequential(nn.Linear(2, 2)))


def test_a_plain_module_with_an_importable_builder_is_taken():
    model = backend.wrap(
        nn.Linear(2, 3), net="torch.nn:Linear", options={"in_features": 2, "out_features": 3}
    )
    assert model.torch().weight.shape == (3, 2)


def test_misspelt_nets_and_options_are_refused_with_the_nearest():
    with pytest.raises(NotFoundError, match="resnet20"):
        architecture.build("resnt20", {}, (3, 8, 8), 2)
    with pytest.raises(OptionError, match="width"):
        architecture.build("mlp", {"widht": 3}, (3, 8, 8), 2)


class Small(nn.Module):
    """A net whose answers hang on what it was built with; its tensors do not."""

    def __init__(self, act="relu", power=None):
        super().__init__()
        self.head = nn.Linear(16, 3)
        self.act = {"relu": nn.ReLU, "tanh": nn.Tanh}[act]()
        self.power = power

    def forward(self, x_BCHW):
        y_BK = self.act(self.head(x_BCHW.flatten(1)))
        return y_BK if self.power is None else self.power * y_BK


PICTURES = {"image_shape": [1, 4, 4]}


@pytest.mark.parametrize("assets", [None, PICTURES])
def test_a_module_built_with_options_is_refused_without_them(assets):
    with pytest.raises(UsageError, match=r"`act` is Tanh\(\), not ReLU\(\)(.|\n)*options=\{\.\.\.\}"):
        backend.wrap(Small(act="tanh"), assets=assets)
    module, x = Small(act="tanh").eval(), torch.randn(2, 1, 4, 4)
    assert torch.equal(backend.wrap(module, options={"act": "tanh"}).torch()(x), module(x))


def test_a_difference_that_is_no_part_shows_in_the_answers():
    """Where it is known what the net takes, and without leaving a trace in it."""
    module = Small(power=2.0)
    random, modes = torch.get_rng_state(), [part.training for part in module.modules()]
    with pytest.raises(UsageError, match="answers otherwise"):
        backend.wrap(module, assets=PICTURES)
    backend.wrap(module, assets=PICTURES, options={"power": 2.0})
    assert torch.equal(torch.get_rng_state(), random)
    assert [part.training for part in module.modules()] == modes and all(modes)


def test_a_net_that_takes_other_rows_than_assets_say_is_compared_by_its_parts():
    assert backend.wrap(Small(), assets={"image_shape": [3, 9, 9]}).task is None
