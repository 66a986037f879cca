"""synthesize: rows enter train alone, as many as a class is to have, none wrong, copied or far off."""

import numpy as np
import pytest

import lichen as li
from lichen.core.array import Array
from lichen.core.errors import OptionError, UsageError
from lichen.core.model import Model
from lichen.data import extension
from lichen.engine.generation import generating
from lichen.engine.generation.sieve import Mesh, Sieve

LABELS = ["a", "b", "c"]


def pictures(num_rows, seed):
    """Three grey levels under noise."""
    draws = np.random.default_rng(seed)
    targets = np.arange(num_rows) % 3
    images = 40 + 70 * targets[:, None, None, None] + draws.integers(0, 40, (num_rows, 1, 8, 8))
    return images.astype("uint8"), targets


@pytest.fixture
def life(tmp_path, monkeypatch):
    """Data, a classifier, and a generator whose drawing is planted: a third of it is what it says."""
    told = []
    with li.opened(tmp_path / ".lichen", sinks=(told.append,)):
        images, targets = pictures(150, 0)
        data = li.arrays(images, targets, LABELS, ["train"] * 60 + ["validation"] * 60 + ["test"] * 30)
        classifier = li.pretrain.train(data, net="mlp", epochs=15, precision="float32")
        assets = {"labels": LABELS, "made_shape": [1, 8, 8], "num_codes": 4}
        weights = {"w": Array.of(np.zeros(1))}
        generator = Model.build(net="generator", options={}, weights=weights, assets=assets)

        def drawn(model, targets_M, *, seed, start=0, **others):
            images, _ = pictures(3 * len(targets_M), [seed, start, 1])
            made = images.reshape(-1, 3, 1, 8, 8)[np.arange(len(targets_M)), targets_M]
            place = np.arange(len(targets_M)) % 3
            made[place == 1] = 255 - made[place == 1]  # another class, mostly
            rows = 3 * (np.arange(len(targets_M)) % 20) + targets_M  # some row of each class
            made[place == 2] = data.rows("train").images[rows][place == 2]
            return made

        monkeypatch.setattr(generating, "drawn", drawn)
        yield data, generator, classifier, told


def test_every_class_gets_its_ratio_and_provenance_names_the_generator(life):
    data, generator, classifier, _ = life
    whole = li.generate.synthesize(generator, data, classifier, ratio=0.5, ratios={"c": 2.0}, tries=30)
    found = extension.provenance(whole)
    made = whole.rows("train").targets[~found.is_real]
    assert np.bincount(made).tolist() == [10, 10, 40] and whole.num_synthetic == 60
    assert found.names == ("real", f"synthetic {generator.digest[:10]}")
    for split in ("validation", "test"):
        assert whole.splits[split] == data.splits[split]
    assert "test" not in whole.made.call.read


def test_wrong_classes_and_copies_do_not_pass(life):
    data, generator, classifier, told = life
    whole = li.generate.synthesize(generator, data, classifier, confidence=0.6)
    made = whole.rows("train").images[data.num_rows("train") :]
    replies = classifier.predict(list(made))
    labels = [LABELS[target] for target in whole.rows("train").targets[data.num_rows("train") :]]
    assert [reply["label"] for reply in replies] == labels
    assert min(reply["confidence"] for reply in replies) >= 0.6
    assert not np.isin(extension.manifest.ids(whole, "train")[60:], data.rows("train").ids).any()
    said = next(event["text"] for event in told if event["kind"] == "note" and "rows wanted" in event["text"])
    assert "not told as their class" in said and "copies of real rows" in said


def test_a_planted_copier_is_warned_of(life, monkeypatch):
    data, generator, classifier, told = life
    rows = data.rows("train").images
    monkeypatch.setattr(
        generating, "drawn", lambda model, targets, **others: rows[np.arange(len(targets)) % 60]
    )
    li.generate.synthesize(generator, data, classifier, confidence=0.0, min_distance=0.0, max_distance=None)
    assert any(event["kind"] == "warning" and "copies train rows" in event["text"] for event in told)


def test_what_is_far_from_all_real_rows_is_left_out_by_pixels_too():
    images, _ = pictures(60, 0)
    sieve = Sieve(None, images, Mesh(confidence=0.9, nearest=0.1, farthest=2.0))
    more, _ = pictures(30, 9)
    assert sieve.passes(more, np.zeros(30, int)).mean() > 0.9
    noise = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    assert not sieve.passes(noise, np.zeros(30, int)).any()
    assert sieve.dropped["far from all real rows"] >= 30


def test_mistakes_are_named(life):
    data, generator, classifier, _ = life
    with pytest.raises(OptionError, match="`d` in option `ratios` is no class"):
        li.generate.synthesize(generator, data, classifier, ratios={"d": 1})
    with pytest.raises(UsageError, match="a generator draws pictures; this is a model of `mlp`"):
        li.generate.synthesize(classifier, data)
    with pytest.raises(UsageError, match="no row that was drawn passes"):
        li.generate.synthesize(generator, data, classifier, ratio=0.0)
    other = li.arrays(*pictures(60, 0), ["x", "y", "z"])
    with pytest.raises(UsageError, match="the generator's labels must be the data's: x, y, z"):
        li.generate.synthesize(generator, other)
