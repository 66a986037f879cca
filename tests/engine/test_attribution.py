"""attribution: pixels add up to what the output gained, and a class decided by a corner is seen in it."""

import numpy as np
import pytest
import torch
from torch import nn

import lichen as li
from lichen.core.errors import MachineError
from lichen.engine import attribution
from lichen.engine.modules import backend

pytest.importorskip("captum")


def rows(seed=0):
    """Noise whose class is whether the upper left corner is bright."""
    generator = np.random.default_rng(seed)
    targets = np.arange(200) % 2
    images = generator.integers(0, 255, (200, 3, 12, 12), dtype=np.uint8)
    images[:, :, :4, :4] = 20 + 200 * targets[:, None, None, None].astype(np.uint8)
    return li.arrays(images, targets, splits=["train"] * 160 + ["validation"] * 40)


@pytest.fixture(scope="module")
def trained():
    data = rows()
    return li.pretrain.train(data, net="mlp", epochs=8, precision="float32"), data


def asked(trained, split="validation"):
    model, data = trained
    read = data.rows(split)
    return model, read.images[:6], read.targets[:6].tolist()


def test_what_pixels_gave_adds_up_to_what_the_output_gained(trained):
    model, images, targets = asked(trained)
    found = attribution.integrated(model, images, targets)
    assert found.error < 0.05
    assert np.allclose(found.pixels.sum((1, 2)), found.gain, rtol=0.05, atol=1e-3)
    assert np.abs(found.gain).min() > 0.1


def test_a_linear_net_gives_each_pixel_weight_times_distance():
    """The closed form: the path's gradient is constant."""
    module = linear()
    data = rows()
    assets = li.pretrain.train(data, net="mlp", epochs=1).assets
    model = backend.wrap(module, net=f"{__name__}:linear", task="image_classification", assets=dict(assets))
    images = data.rows("validation").images[:3]
    found = attribution.integrated(model, images, [0, 1, 1])
    mean, std = (np.array(assets[name], np.float32)[:, None, None] for name in ("mean", "std"))
    x = (images.astype(np.float32) / 255 - mean) / std
    weight = module[1].weight.detach().numpy().reshape(2, 3, 12, 12)
    expected = ((weight - weight.mean(0))[[0, 1, 1]] * x).sum(1)
    assert np.allclose(found.pixels, expected, atol=1e-4) and found.error < 1e-3


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 2))


def test_a_class_that_a_corner_decides_is_seen_in_that_corner(trained):
    model, images, targets = asked(trained)
    given = np.abs(attribution.integrated(model, images, targets).pixels)
    share = given[:, :4, :4].sum((1, 2)) / given.sum((1, 2))
    assert share.min() > 3 * 16 / 144 and share.mean() > 0.6
    # Another corner, which decides nothing, has less than its area's part: the test can tell them apart.
    assert (given[:, -4:, -4:].sum((1, 2)) / given.sum((1, 2))).max() < 16 / 144


def test_equal_models_give_equal_bits_and_a_row_alone_what_it_gives_among_others(trained):
    model, images, targets = asked(trained)
    first, again = (attribution.integrated(model, images, targets).pixels for _ in range(2))
    assert np.array_equal(first, again)
    alone = attribution.integrated(model, images[2:3], targets[2:3]).pixels
    assert np.allclose(alone[0], first[2], atol=1e-5)


def test_larger_nets_get_fewer_rows(trained, monkeypatch):
    model, _ = trained
    many = attribution.affordable(model)
    monkeypatch.setattr(attribution, "BUDGET_MACS", attribution.BUDGET_MACS / 10)
    assert many > 10 * 12 and many // 10 - 1 <= attribution.affordable(model) <= many // 10 + 1


def test_without_the_library_it_says_how_to_get_it(trained, monkeypatch):
    import sys

    model, images, targets = asked(trained)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MachineError, match="explain"):
        attribution.integrated(model, images, targets)
    assert torch.is_grad_enabled()
