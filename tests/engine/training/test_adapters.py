"""adapters: merged equals unmerged for each method, on convolutional and transformer nets."""

import pytest
import torch
from torch import nn

from lichen.core.errors import UsageError
from lichen.engine.modules import architecture, backend
from lichen.engine.training import adapters, merging

pytest.importorskip("peft")
NETS = {
    "resnet20": (3, 16, 16),
    "timm/efficientnet_lite0": (3, 32, 32),
    "timm/vit_tiny_patch16_224": (3, 32, 32),
}


def under(module, method, **more):
    """A net with an adapter that has learnt something."""
    about = {"method": method, "rank": 4, "alpha": 8.0, "layers": adapters.targets(module, method), **more}
    adapters.put_in(module, about)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and not name.startswith("head."):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return about


def merged_of(net, shape, base, module, about):
    plain = architecture.build(net, {}, shape, 5).eval()
    arrays = merging.merged(base, adapters.taken_out(module, about), about)
    plain.load_state_dict({name: backend.tensor_of(array) for name, array in arrays.items()})
    return plain


@pytest.mark.parametrize("method", merging.METHODS)
@pytest.mark.parametrize("net", NETS)
@torch.no_grad()
def test_merged_equals_unmerged(net, method):
    torch.manual_seed(0)
    shape = NETS[net]
    module, x = architecture.build(net, {}, shape, 5).eval(), torch.randn(2, *shape)
    base, before = backend.arrays_of(module), module(x)
    about = under(module, method)
    beside = module(x)
    assert (beside - before).abs().max() > 1e-3 * before.abs().max()
    plain = merged_of(net, shape, base, module, about)
    assert (plain(x) - beside).abs().max() < 1e-4 * beside.abs().max()
    for name in about["layers"]:
        module.get_submodule(name).merge()
        weight = module.get_submodule(name).base_layer.weight
        assert torch.allclose(plain.get_submodule(name).weight, weight, atol=1e-5)


@pytest.mark.parametrize("method", merging.METHODS)
def test_a_fresh_adapter_changes_no_answer_and_learns_alone(method):
    torch.manual_seed(0)
    module, x = architecture.build("resnet20", {}, (3, 16, 16), 5).eval(), torch.randn(2, 3, 16, 16)
    before = module(x)
    about = {"method": method, "rank": 2, "alpha": 4.0, "layers": adapters.targets(module, method)}
    adapters.put_in(module, about)
    assert torch.allclose(module(x), before, atol=1e-5)
    learning = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert learning and all(name.startswith("head.") or "default" in name for name in learning)
    assert not any("bn" in name for name in learning)


def test_dora_learns_with_kernels_stored_channels_last():
    module = architecture.build("resnet20", {}, (3, 16, 16), 5)
    under(module, "dora")
    module.to(memory_format=torch.channels_last)
    module(torch.randn(2, 3, 16, 16)).sum().backward()
    assert module.conv1.lora_A["default"].weight.grad is not None


class Odd(nn.Module):
    """One layer that can be adapted, among many that cannot."""

    class Standardised(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return nn.functional.conv2d(x, weight)

    def __init__(self):
        super().__init__()
        self.grouped, self.wide = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3, dilation=2)
        self.mirrored, self.plain = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3)
        self.standard, self.attention = self.Standardised(4, 4, 3), nn.MultiheadAttention(4, 2)
        self.head = nn.Linear(4, 2)


def test_only_layers_whose_arithmetic_is_torchs_own_are_adapted():
    assert adapters.targets(Odd(), "lora") == ["plain"]
    assert adapters.targets(Odd(), "ia3") == ["grouped", "wide", "mirrored", "plain"]
    with pytest.raises(UsageError, match="no layer"):
        adapters.targets(nn.Sequential(nn.ReLU()), "lora")


def test_names_are_whole_names_or_endings():
    net = architecture.build("timm/vit_tiny_patch16_224", {}, (3, 32, 32), 5)
    found = adapters.targets(net, "lora", ["qkv", "body.blocks.0.mlp.fc1"])
    assert len(found) == 13 and sum(name.endswith("qkv") for name in found) == 12
    adapters.put_in(net, {"method": "lora", "rank": 2, "alpha": 4.0, "layers": found})
    assert sum("lora_A" in name for name, _ in net.named_parameters()) == 13


def test_an_adapter_of_other_shapes_is_refused():
    module = architecture.build("mlp", {}, (1, 4, 4), 2)
    base = backend.arrays_of(module)
    about = under(module, "lora")
    weights = adapters.taken_out(module, about)
    name = next(name for name in weights if name.endswith("lora_A"))
    with pytest.raises(UsageError, match="does not fit"):
        merging.merged(base, {**weights, name: backend.array_of(torch.zeros(4, 3))}, about)
    with pytest.raises(UsageError, match="does not fit"):
        merging.merged(base, weights, {**about, "method": "laura"})
