"""test_views: answers are the mean over the views that a model names, by every path that answers."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.engine import answer
from lichen.engine.modules import architecture, backend, views
from lichen.engine.programs import executables, graph, runtimes

SHAPE = [3, 8, 8]
ASSETS = {"labels": list("abcd"), "mean": [0.5] * 3, "std": [0.25] * 3, "image_shape": SHAPE}


def model(name):
    torch.manual_seed(0)
    module = architecture.build("cnn", {"widths": [8], "dense": 16}, tuple(SHAPE), 4)
    assets = ASSETS if name is None else {**ASSETS, "views": name}
    return backend.wrap(module, task="image_classification", assets=assets)


def pixels(rows):
    return np.random.default_rng(0).integers(0, 256, (rows, *SHAPE), np.uint8)


def by_hand(name, images):
    """Jordan's views, written out."""
    one = model(None)
    mirrored = lambda part: (answer.logits(one, part) + answer.logits(one, part[..., ::-1].copy())) / 2  # noqa: E731
    if name == "flip":
        return mirrored(images)
    padded = (
        functional.pad(torch.from_numpy(images).float(), (1, 1, 1, 1), mode="reflect").to(torch.uint8).numpy()
    )
    shifted = [mirrored(np.ascontiguousarray(padded[:, :, at : at + 8, at : at + 8])) for at in (0, 2)]
    return mirrored(images) / 2 + (shifted[0] + shifted[1]) / 4


@pytest.mark.parametrize("name", views.VIEWS)
def test_answers_are_the_mean_over_views(name):
    images = pixels(5)
    found = answer.logits(model(name), images)
    np.testing.assert_allclose(found, by_hand(name, images), atol=1e-5)
    assert np.abs(found - answer.logits(model(None), images)).max() > 1e-3


@pytest.mark.parametrize("name", views.VIEWS)
def test_a_graph_holds_the_views(name):
    value, images = model(name), pixels(7)
    program = executables.build(
        value, {"model.onnx": graph.onnx_of(value)}, runtime="onnxruntime", precision="float32"
    )
    run = runtimes.load("onnxruntime", program.files())
    np.testing.assert_allclose(run(images), answer.logits(value, images), atol=1e-4)


def test_shares_sum_to_one_and_a_mirrored_picture_is_answered_alike():
    for name, parts in views.VIEWS.items():
        assert sum(share for _, _, share in parts) == 1.0
        if name == "flip":
            images = pixels(3)
            left, right = (answer.logits(model(name), part.copy()) for part in (images, images[..., ::-1]))
            np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("name", ["flips", 3, ["flip"]])
def test_unknown_views_of_a_file_are_refused(name):
    with pytest.raises(UsageError, match="flip_shift"):
        answer.logits(
            model(None).with_weights(model(None).weights(), assets={**ASSETS, "views": name}), pixels(1)
        )
