"""test_masking: which weights go, and that they stay gone while others learn."""

import pytest
import torch
from torch import nn

from lichen.core.errors import UsageError
from lichen.engine.modules import architecture, backend
from lichen.engine.training import masking

SHAPE = [4, 8, 8]


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 5),
    )  # fmt: skip


@pytest.mark.parametrize("pattern", ["global", "layer"])
def test_the_smallest_weights_go_and_the_share_is_exact(pattern):
    module = net()
    with torch.no_grad():
        module[2].weight *= 10
    found = masking.masks(module, pattern, 0.75, SHAPE)
    sizes = torch.cat([(module.get_submodule(name).weight * 1).abs().flatten() for name in found])
    kept = torch.cat([mask.flatten() for mask in found.values()]) == 1
    assert sorted(found) == ["0", "2"], "the layer that answers stays whole"
    assert int((~kept).sum()) == round(0.75 * len(sizes))
    if pattern == "global":
        assert sizes[kept].min() >= sizes[~kept].max()
        assert found["0"].mean() < 0.1 < 0.3 < found["2"].mean()
    else:
        assert all(float(mask.mean()) == 0.25 for mask in found.values())


def test_two_of_every_four_inputs_stay_and_they_are_the_largest():
    module = net()
    for name, mask in masking.masks(module, "2:4", 0.5, SHAPE).items():
        weight = module.get_submodule(name).weight
        for place in range(0, weight.shape[1], 4):
            fours, kept = weight[:, place : place + 4].abs(), mask[:, place : place + 4]
            assert torch.equal(kept.sum(1), torch.full_like(kept.sum(1), 2.0))
            assert ((fours * kept).sum(1) >= (fours * (1 - kept)).sum(1)).all()


def test_layers_without_inputs_in_fours_stay_dense_and_a_net_of_those_is_refused():
    module = architecture.build("cnn", {}, (3, 8, 8), 5)
    first = next(name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d))
    assert first not in masking.masks(module, "2:4", 0.5, [3, 8, 8])
    odd = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(180, 2))
    with pytest.raises(UsageError, match="inputs in fours"):
        masking.masks(odd, "2:4", 0.5, [3, 8, 8])


def train(module, steps=20):
    optimizer = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9, weight_decay=0.01)
    for _ in range(steps):
        (module(torch.randn(4, *SHAPE)) - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_mask_survives_training_and_the_weights_are_plain_afterwards():
    module = net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = masking.masks(module, "global", 0.6, SHAPE)
    with masking.held(module, found):
        train(module)
    assert module.state_dict().keys() == before.keys() and type(module[0]) is nn.Conv2d
    for name, mask in found.items():
        weight = module.get_submodule(name).weight
        assert isinstance(weight, nn.Parameter)
        assert (weight[mask == 0] == 0).all() and not torch.equal(weight, before[f"{name}.weight"] * mask)
    train(module, 3)
    assert (module[0].weight[found["0"] == 0] != 0).any(), "without the mask they come back"


def test_later_trainings_keep_what_the_assets_say():
    module = net()
    with masking.held(module, masking.masks(module, "layer", 0.5, SHAPE)):
        pass
    zeros = module[0].weight == 0
    with masking.kept(module, {"masks": {"pattern": "layer", "layers": ["0", "gone"]}}):
        train(module)
    assert (module[0].weight[zeros] == 0).all()
    with masking.kept(module, {}):
        train(module, 1)
    assert (module[0].weight[zeros] != 0).any()
    assert backend.arrays_of(module).keys() == net().state_dict().keys()
