"""prototype: class means as in the paper, nothing trained, five rows per class far above chance."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.core.session import Session, using
from lichen.engine import answer
from lichen.steps.adapt import prototype as file

SHARED = Path(os.environ.get("LICHEN_DATA", "/nonexistent"))
needs_data = pytest.mark.skipif(not (SHARED / "cifar10").is_dir(), reason="LICHEN_DATA holds no cifar10")


@pytest.fixture(scope="module")
def start():
    """A net that knows the digits below five, and data of all of them."""
    with using(Session(store=None)):
        data = li.load("digits", num_train=600, validation=0.3)
        known = data.rows("train")
        few = li.arrays(known.images[known.targets < 5], known.targets[known.targets < 5], validation=0.1)
        return li.pretrain.train(few, net="mlp", epochs=10, precision="float32"), data


def features(model, rows):
    module = model.torch()
    from lichen.tasks.image_classification import TASK

    with torch.no_grad():
        return module.features(TASK.inputs(torch.from_numpy(rows.images.copy()), model.assets)).numpy()


def neighbour(known, targets, asked):
    """The class of the nearest mean, by scikit-learn's distances."""
    return pairwise_distances_argmin(asked, np.stack([known[targets == k].mean(0) for k in range(10)]))


def made(start, **options):
    with using(Session(store=None)):
        return li.adapt.prototype(*start, precision="float32", **options)


def test_answers_are_those_of_the_nearest_centroid(start):
    model, data = start
    train, judges = data.rows("train"), data.rows("validation")
    theirs = neighbour(features(model, train), train.targets, features(model, judges))
    found = answer.logits(made(start, distance="euclidean"), judges.images).argmax(1)
    assert (found == theirs).mean() > 0.99


def test_by_cosine_only_directions_count(start):
    model, data = start
    train, judges = data.rows("train"), data.rows("validation")
    units, asked = (f / np.linalg.norm(f, axis=1, keepdims=True)
                    for f in (features(model, train), features(model, judges)))  # fmt: skip
    means = np.stack([units[train.targets == k].mean(0) for k in range(10)])
    theirs = (asked @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)
    assert (answer.logits(made(start), judges.images).argmax(1) == theirs).mean() > 0.99


def test_the_body_keeps_every_bit_and_unseen_classes_are_told_apart(start):
    model, data = start
    after = made(start)
    for name, array in model.weights().items():
        assert name.startswith("head.") or np.array_equal(array.numpy(), after.weights()[name].numpy())
    assert after.assets["labels"] == data.labels
    assert li.evaluate(after, data).interval[0] > 0.65  # chance is 0.1


@pytest.mark.parametrize("compare", [file.nearness, file.cosines])
def test_left_out_means_are_means_without_the_row(compare):
    x, y = torch.randn(30, 6), torch.arange(30) % 3
    means, counts = file.means(x, y, 3)
    found = file.left_out(x, y, means, counts, compare)
    for row in (0, 7, 29):
        others = torch.arange(30) != row
        theirs, _ = file.means(x[others], y[others], 3)
        torch.testing.assert_close(found[row], compare(x[row : row + 1], theirs)[0])


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_it_is_as_sure_as_it_is_right(start, distance):
    scores = li.evaluate(made(start, distance=distance), start[1])
    assert scores["calibration_error"] < 0.12


def test_shots_are_rows_of_each_class_by_the_seed(start):
    rows = start[1].rows("train")
    chosen = file._chosen(rows, 10, 3, 0)
    assert np.bincount(rows.targets[chosen]).tolist() == [3] * 10
    assert made(start, shots=3).digest == made(start, shots=3).digest != made(start, shots=3, seed=1).digest
    assert made(start, shots=1).weights()["head.scale"].numpy() == pytest.approx(10.0)


def test_a_class_without_rows_and_rows_of_several_labels_are_refused(start):
    model, data = start
    rows = data.rows("train")
    gap = li.arrays(rows.images[rows.targets < 9], rows.targets[rows.targets < 9], labels=data.labels)
    with pytest.raises(DataError, match="`9` has none"):
        li.adapt.prototype(model, gap)
    tags = li.arrays(rows.images, np.eye(10, dtype=int)[rows.targets], labels=data.labels)
    several = li.pretrain.train(tags, net="mlp", task="multi_label_classification", epochs=1)
    with pytest.raises(UsageError, match="freeze='body'"):
        li.adapt.prototype(several, tags)


@pytest.mark.slow
@needs_data
def test_five_pictures_of_each_of_five_classes_are_far_above_chance():
    pytest.importorskip("timm")
    with using(Session(store=None)):
        whole = li.load("cifar10", num_train=1000)
        parts = []
        for split, count in (("train", 400), ("validation", 300)):
            rows = whole.rows(split)
            kept = np.flatnonzero(rows.targets < 5)[:count]
            parts.append((rows.batch(kept), rows.targets[kept], [split] * len(kept)))
        images, targets, splits = (np.concatenate(column) for column in zip(*parts))
        data = li.arrays(images, targets, labels=whole.labels[:5], splits=splits.tolist())
        model = li.pretrain.load(data, net="timm/tf_efficientnet_lite0", image_size=96,
                                 weights="timm:tf_efficientnet_lite0")  # fmt: skip
        low, _ = li.evaluate(li.adapt.prototype(model, data, shots=5), data).interval
    assert low > 0.5  # chance is 0.2
