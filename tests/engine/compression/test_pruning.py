"""test_pruning: a narrower net is the wide one without channels that say nothing."""

import pytest
import torch

from lichen.core.errors import UsageError
from lichen.engine.compression import pruning
from lichen.engine.modules import architecture, backend, macs

SHAPE = (3, 16, 16)


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on a busy machine wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def net(name, shape=SHAPE, options=None):
    torch.manual_seed(0)
    module = architecture.build(name, options or {}, shape, 5)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # figures as of a trained net
            torch.nn.init.uniform_(layer.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias)
    return module.eval()


def silence(norms, channels):
    with torch.no_grad():
        for norm in norms:
            norm.weight[channels] = 0.0
            norm.bias[channels] = 0.0


def test_without_channels_that_are_zero_the_answers_stay():
    """Inside a block, in the stream of the first stage, and in padded channels of the second."""
    module = net("resnet20")
    silence([module.layer3[1].bn1], [3, 40])
    silence([module.bn1, *(block.bn2 for block in module.layer1)], [1, 5])
    silence([block.bn2 for block in module.layer2], [0, 30])
    gone = {"layer3.1.conv1": [3, 40], "conv1": [1, 5], "layer2.0.conv2": [0, 30]}
    slim = pruning.without(module, SHAPE, gone)
    assert (slim.conv1.out_channels, slim.layer2[1].conv2.out_channels) == (14, 30)
    x = torch.randn(4, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(slim(x), module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("speedup", [2.0, 4.0])
@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet20", "resnet10", "timm/mobilenetv2_050"])
def test_the_work_asked_for_is_reached_and_little_more(name, speedup):
    shape = (3, 32, 32) if "timm" in name else SHAPE
    module = net(name, shape)
    whole = macs.count(module, shape)
    slim = pruning.prune(module, shape, speedup=speedup, importance="group_norm")
    assert speedup <= whole / macs.count(slim, shape) < 1.1 * speedup
    assert macs.count(module, shape) == whole
    rebuilt = backend.wrap(slim).torch()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        assert torch.equal(rebuilt(x), slim(x))
        assert slim(x).shape == (2, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "timm/resnet18", "timm/tf_efficientnet_lite0"])
def test_so_it_is_for_larger_nets(name):
    test_the_work_asked_for_is_reached_and_little_more(name, 2.0)


def test_a_pruned_net_can_be_pruned_again():
    module = net("resnet20")
    once = backend.wrap(pruning.prune(module, SHAPE, speedup=16.0, importance="group_norm")).torch()
    assert once.layer2[0].shortcut.taken is not None
    twice = pruning.prune(once, SHAPE, speedup=1.5, importance="group_norm")
    assert macs.count(once, SHAPE) >= 1.5 * macs.count(twice, SHAPE)
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        assert torch.equal(backend.wrap(twice).torch()(x), twice(x))


def test_residual_streams_stay_while_the_rest_is_enough():
    slim = pruning.prune(net("resnet20"), SHAPE, speedup=2.0, importance="group_norm")
    assert [slim.conv1.out_channels, slim.layer2[0].conv2.out_channels, slim.head.in_features] == [16, 32, 64]


def test_an_mlp_pruned_twice_has_half_the_macs():
    module = net("mlp", (1, 8, 8), {"width": 64, "depth": 2})
    assert macs.count(module, (1, 8, 8)) == 64 * 64 + 64 * 64 + 64 * 5
    slim = pruning.prune(module, (1, 8, 8), speedup=2.0, importance="group_norm")
    first, second = slim.body[1], slim.body[3]
    work = 64 * first.out_features + first.out_features * second.out_features + second.out_features * 5
    assert macs.count(slim, (1, 8, 8)) == work <= (64 * 64 * 2 + 64 * 5) / 2


def test_macs_of_a_convolution_in_groups_are_those_of_its_filters():
    layer = torch.nn.Conv2d(4, 8, 3, padding=1, groups=2)
    assert macs.count(layer, (4, 5, 5)) == 8 * 25 * (2 * 9)


def test_widths_are_multiples_and_every_layer_keeps_some():
    slim = pruning.prune(net("resnet10"), SHAPE, speedup=8.0, importance="group_norm", round_to=8)
    for layer in slim.modules():
        if isinstance(layer, torch.nn.Conv2d):
            assert layer.out_channels % 8 == 0 and layer.out_channels >= 8


def test_taylor_keeps_the_channels_that_the_loss_needs():
    module = net("mlp", (1, 8, 8), {"width": 16, "depth": 1})
    with torch.no_grad():
        module.head.weight[:, 8:] = 0.0  # nothing of the last eight reaches the output
        module.body[1].weight[8:] *= 100.0  # though they are the largest

    def gradients(twin):
        x, y = torch.randn(64, 1, 8, 8), torch.arange(64) % 5
        torch.nn.functional.cross_entropy(twin(x), y).backward()

    slim = pruning.prune(module, (1, 8, 8), speedup=2.0, importance="taylor", gradients=gradients)
    x = torch.randn(8, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(slim(x), module(x))


def test_what_cannot_be_reached_is_refused_with_what_can():
    with pytest.raises(UsageError, match=r"can be pruned \d+\.\d+ times at most; speedup is 10000"):
        pruning.prune(net("mlp", (1, 8, 8)), (1, 8, 8), speedup=1e4, importance="group_norm")


def test_what_a_net_keeps_frozen_stays_frozen():
    module = net("airbench", (3, 32, 32))
    before = {name: one.requires_grad for name, one in module.named_parameters()}
    slim = pruning.without(module, (3, 32, 32), {})
    assert not all(before.values())
    assert {name: one.requires_grad for name, one in slim.named_parameters()} == before
