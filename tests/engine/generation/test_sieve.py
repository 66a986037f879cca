"""What passes is of its class, no copy, and near the real rows, in units that no number of rows changes."""

import numpy as np
import pytest

import lichen as li
from lichen.core.session import Session, using
from lichen.engine.generation import neighbours, sieve
from lichen.engine.generation.sieve import Mesh, Sieve

FREE = Mesh(confidence=0.0, nearest=0.0, farthest=None)


def pictures(num_rows, seed):
    """Dark pictures of one class and bright ones of the other, under noise."""
    draws = np.random.default_rng(seed)
    targets = np.arange(num_rows) % 2
    images = 60 + 120 * targets[:, None, None, None] + draws.integers(-20, 20, (num_rows, 1, 4, 4))
    return images.astype("uint8"), targets


@pytest.fixture(scope="module")
def classifier():
    with using(Session()):
        return li.pretrain.train(li.arrays(*pictures(200, 0), ["dark", "bright"]), net="mlp", epochs=4)


def test_the_usual_way_is_to_the_nearest_of_all_real_rows(monkeypatch):
    """Neighbours among a few of the rows alone would be farther off, and copies pass for news."""
    images, _ = pictures(300, 0)
    flat = images.reshape(300, -1).astype("float64")
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert Sieve(None, images, FREE).usual == pytest.approx(np.median(apart.min(1)))
    monkeypatch.setattr(sieve, "MOST_ROWS", 30)
    assert Sieve(None, images, FREE).usual == pytest.approx(np.median(apart.min(1)), rel=0.1)
    few = flat[::10]
    among_few = neighbours.radii(neighbours.distances(few, few), 1)
    assert np.median(among_few) > 1.1 * np.median(apart.min(1))


def test_each_fault_is_counted_once_under_its_own_name(classifier):
    images, targets = pictures(60, 0)
    more, more_targets = pictures(20, 1)
    noise = np.random.default_rng(2).integers(0, 256, (20, 1, 4, 4), dtype=np.uint8)
    made = np.concatenate([more, images[:20], more, noise])
    asked_as = np.concatenate([more_targets, targets[:20], 1 - more_targets, np.zeros(20, int)])
    found = Sieve(classifier, images, Mesh(confidence=0.5, nearest=0.05, farthest=4.0))
    passes = found.passes(made, asked_as)
    assert passes[:20].mean() > 0.7 and not passes[20:].any()
    assert found.dropped["copies of real rows"] >= 20 and found.dropped["not told as their class"] >= 20
    assert sum(found.dropped.values()) == (~passes).sum()


def test_without_a_classifier_every_row_is_of_its_class():
    images, targets = pictures(20, 0)
    assert (
        Sieve(None, images, Mesh(confidence=1.0, nearest=0.0, farthest=None))
        .passes(images, 1 - targets)
        .all()
    )


def test_rows_that_stand_there_often_are_no_copies_and_those_between_not_far():
    """Of tables of levels most rows have an equal: the way to the nearest is 0."""
    draws = np.random.default_rng(0)
    real = 0.3 * np.eye(4, dtype=np.float32)[draws.integers(0, 4, (200, 2))].reshape(200, 8)
    strange = np.full((1, 8), 9.0, np.float32)
    found = Sieve(None, real[:180], Mesh(confidence=0.0, nearest=0.1, farthest=4.0))
    nearly = real[180:] + np.float32(0.01)
    made = np.concatenate([real[180:], nearly, strange])
    assert found.usual == 0.0 and found.apart == pytest.approx(0.3 * 2**0.5)
    assert found.passes(made, np.zeros(41, int)).tolist() == [True] * 40 + [False]
    assert found.dropped["far from all real rows"] == 1
    alike = Sieve(None, real[:1].repeat(9, 0), Mesh(confidence=0.0, nearest=0.1, farthest=4.0))
    assert alike.passes(strange, np.zeros(1, int)).all()
