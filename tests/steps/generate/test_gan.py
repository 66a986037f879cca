"""gan: both come back as Models that rebuild, and only real rows of one class each are learnt from."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import UsageError
from lichen.data import png
from lichen.engine.generation import bout, generating

SMALL = {"epochs": 1, "generator_options": {"width": 4}, "discriminator_options": {"width": 4},
         "precision": "float32"}  # fmt: skip


def pictures(side=8, channels=1, num_rows=48):
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (num_rows, channels, side, side), dtype=np.uint8)
    return li.arrays(images, np.arange(num_rows) % 3, ["a", "b", "c"], ["train"] * num_rows)


@pytest.fixture
def here(tmp_path):
    with li.opened(tmp_path / ".lichen") as session:
        yield session


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3)])
def test_pictures_have_the_shape_of_the_rows(here, side, channels):
    found = li.generate.gan(pictures(side, channels, 16), batch_size=8, **SMALL)
    drawn = generating.drawn(found.generator, np.array([0, 1, 2, 0]), seed=0)
    assert drawn.shape == (4, channels, side, side) and drawn.dtype == np.uint8
    assert not np.array_equal(drawn[0], drawn[3])
    said = found.discriminator.torch()(torch.zeros(2, channels, side, side))
    assert said.shape == (2, 3)


def test_a_size_of_64_is_made_from_smaller_rows(here):
    found = li.generate.gan(pictures(num_rows=8), image_size=64, batch_size=4, **SMALL)
    assert generating.drawn(found.generator, np.arange(3), seed=0).shape == (3, 1, 64, 64)


@pytest.mark.slow
def test_each_class_gets_its_colour_at_64_pixels(here):
    """Three classes that differ in nothing but colour; where they lie in the picture is drawn."""
    draws, colours, labels = np.random.default_rng(1), 40 + 160 * np.eye(3), np.arange(96) % 3
    images = draws.normal(40, 10, (96, 3, 64, 64))
    for image, label in zip(images, labels, strict=True):
        top, left = draws.integers(0, 24, 2)
        image[:, top : top + 40, left : left + 40] = colours[label][:, None, None]
    data = li.arrays(images.clip(0, 255).astype(np.uint8), labels, ["r", "g", "b"], ["train"] * 96)
    options = {"width": 8}
    made = li.generate.gan(data, epochs=16, batch_size=16, rate=0.002, ema=0.9, generator_options=options,
                           discriminator_options=options, precision="float32")  # fmt: skip
    drawn = generating.drawn(made.generator, np.arange(60) % 3, seed=0)
    means = drawn.mean((2, 3)).reshape(20, 3, 3)
    assert drawn.shape == (60, 3, 64, 64) and (means.argmax(2) == np.arange(3)).mean() > 0.95
    assert drawn.std((2, 3)).mean() > 15, "there is a square, not a flat mean"


def test_equal_calls_are_found_and_equal_and_events_tell_of_it(here, tmp_path):
    heard = []
    with li.opened(tmp_path / "b" / ".lichen", sinks=(heard.append,)) as other:
        first = li.generate.gan(pictures(), **SMALL)
        assert li.generate.gan(pictures(), **SMALL).generator.digest == first.generator.digest
        assert other.counts == {"computed": 1, "found": 1}
    here.is_fresh = True
    assert li.generate.gan(pictures(), **SMALL).generator == first.generator
    looks = [event for event in heard if event["kind"] == "history"]
    assert {"feature_rank", "discriminator_accuracy", "generator_loss", "discriminator_loss"} <= looks[
        -1
    ].keys()
    shown = [event["picture"] for event in heard if event["kind"] == "samples"]
    assert shown and all(picture.startswith("data:image/png") for picture in shown)


def test_rows_that_were_made_are_not_learnt_from(here):
    data = pictures()
    whole = li.generate.extend(data, pictures(num_rows=24))
    with pytest.raises(UsageError, match="24 of these are synthetic"):
        li.generate.gan(whole, **SMALL)


def test_the_policy_of_the_data_does_not_vary_what_is_learnt(here):
    data = pictures()
    varied = li.augment.policy(data, ops=[{"rotate": 90}])
    assert li.generate.gan(data, **SMALL).generator == li.generate.gan(varied, **SMALL).generator


@pytest.mark.parametrize(("balance", "low", "high"), [("none", 0.05, 0.3), ("sampling", 0.4, 0.6)])
def test_balance_gives_the_generator_every_class_equally_often(here, monkeypatch, balance, low, high):
    """Of 60 rows 10 are of the second class."""
    seen, step = [], bout.step
    monkeypatch.setattr(bout, "step", lambda fought, batch: (seen.extend(batch.targets.tolist()),
                                                             step(fought, batch)))  # fmt: skip
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    data = li.arrays(images, np.array([0] * 50 + [1] * 10), ["a", "b"], ["train"] * 60)
    li.generate.gan(data, balance=balance, batch_size=10, **SMALL)
    assert len(seen) == 60 and low < np.mean(seen) < high


@pytest.mark.parametrize("name", ["prune", "sparsify", "qat"])
def test_what_is_made_smaller_by_rows_is_no_generator(here, name):
    data = pictures(num_rows=16)
    generator = li.generate.gan(data, batch_size=8, **SMALL).generator
    with pytest.raises(UsageError, match="this one makes it"):
        getattr(li.compress, name)(generator, data, epochs=1)


@pytest.mark.slow
def test_a_generator_and_its_int8_program_make_nearly_the_same(here):
    data = li.load("digits", num_train=100)
    generator = li.generate.gan(data, **SMALL).generator
    small = li.compress.quantize(generator, data, max_drop=1.0, num_calibration=50)
    assert small.precision == "int8" and small.size_bytes < generator.size_bytes
    asked = ["3", "3#1", "7"]
    pairs = zip(generator.predict(asked), small.predict(asked), strict=True)
    for one, other in pairs:
        left, right = (png.decode_uri(said["picture"]).astype(int) for said in (one, other))
        assert 0 < np.abs(left - right).mean() < 25
