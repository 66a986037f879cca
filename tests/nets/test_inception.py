"""inception is torchvision's net but for its pools, with the same names of tensors."""

from functools import partial

import pytest
import torch
import torchvision
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.engine.modules import architecture, pretrained


def of_torchvision():
    torch.manual_seed(0)
    module = torchvision.models.inception_v3(num_classes=8, aux_logits=False, init_weights=False).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):  # else nothing of a picture is left at the end
            torch.nn.init.kaiming_normal_(layer.weight)
    return module


def test_features_are_those_of_torchvisions_net_with_the_pools_of_fid(monkeypatch):
    reference = of_torchvision()
    own = architecture.build("inception", {}, (3, 299, 299), 8)
    own.load_state_dict(pretrained.matched(reference.state_dict(), own))
    calls, mean, largest = [], partial(functional.avg_pool2d, count_include_pad=False), functional.max_pool2d

    def pooled(x, **how):
        assert how == {"kernel_size": 3, "stride": 1, "padding": 1}
        calls.append(x.shape)
        return (largest if len(calls) == 9 else mean)(x, **how)

    x = torch.rand(2, 3, 107, 107)
    with torch.inference_mode():
        padded = reference(x)
        monkeypatch.setattr(functional, "avg_pool2d", pooled)
        expected = reference(x)
        monkeypatch.undo()
        found = own.eval()(x)
    assert len(calls) == 9
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (padded - expected).abs().max() > 1e-2, "the pools matter"
    torch.testing.assert_close(own.head(own.features(x)), found, rtol=1e-4, atol=1e-5)


def test_grey_and_small_pictures_are_refused():
    for shape in ((1, 299, 299), (3, 74, 80)):
        with pytest.raises(UsageError, match="colour pictures of 75 pixels"):
            architecture.build("inception", {}, shape, 8)
    assert architecture.expected("inception")["image_size"] == 299
