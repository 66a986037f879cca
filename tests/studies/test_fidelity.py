"""A generator's figures are those of its pictures beside rows that it has not seen."""

import json

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.digest import digest_file
from lichen.core.errors import DataError, NotFoundError, UsageError
from lichen.engine.generation import generating, inception
from lichen.engine.modules import architecture, pretrained
from lichen.studies.fidelity import fidelity


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    with li.opened(tmp_path_factory.mktemp("store") / ".lichen"):
        data = li.load("digits", validation=0.3)
        judge = li.pretrain.train(data, net="mlp", epochs=4, precision="float32")
        options = {"generator_options": {"width": 4}, "discriminator_options": {"width": 4}}
        few = li.load("digits", validation=0.3, num_train=40)
        yield data, judge, li.generate.gan(few, epochs=1, precision="float32", **options).generator, few


def planted(monkeypatch, images, targets):
    """A generator that draws these rows, each for a class that it has."""
    places = {target: np.flatnonzero(targets == target) for target in np.unique(targets)}

    def drawn(model, targets_M, **others):
        counts = dict.fromkeys(places, 0)
        rows = []
        for target in targets_M.tolist():
            rows.append(places[target][counts[target] % len(places[target])])
            counts[target] += 1
        return images[rows]

    monkeypatch.setattr(generating, "drawn", drawn)


def test_real_rows_are_as_good_as_can_be_and_new(life, monkeypatch):
    data, judge, generator, few = life
    rows = data.rows("train")
    is_new = ~np.isin(rows.ids, few.rows("train").ids)
    planted(monkeypatch, rows.images[is_new], rows.targets[is_new])
    found = fidelity(generator, judge, num_rows=300)
    assert found.times_noise > 5 and found.figures["coverage"]["value"] > 0.8
    assert abs(found.agreement["value"] - found.accuracy) < 0.08
    assert not found.copies and not found.says_no and found.judge == judge.digest
    assert json.loads(json.dumps(found.as_json()))["pictures"]["nearest"].startswith("data:image/png")
    assert "no sign of copied train rows" in str(found)


def test_a_planted_copier_is_flagged_with_an_area_near_one(life, monkeypatch):
    _, judge, generator, few = life
    rows = few.rows("train")
    planted(monkeypatch, rows.images, rows.targets)
    found = fidelity(generator, judge, num_rows=300)
    assert found.copying["value"] >= 0.95 and found.copies and found.says_no


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Where FID's weights would lie: others, that are taken for them."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("LICHEN_DATA", raising=False)
    monkeypatch.setattr(inception, "SIDE", 75)
    net = architecture.build("inception", {}, (3, 75, 75), 1008)
    path = tmp_path / "checkpoints" / inception.FILES[0]
    path.parent.mkdir()
    torch.save({name.removeprefix("body."): tensor for name, tensor in net.state_dict().items()}, path)
    monkeypatch.setattr(inception, "DIGEST", digest_file(path))
    monkeypatch.setattr(pretrained, "KNOWN_PICKLES", {digest_file(path)})
    return path


def test_where_the_weights_of_inception_lie_it_judges_too(life, weights):
    _, judge, generator, _ = life
    found = fidelity(generator, judge, num_rows=60)
    assert found.inception and found.inception.keys() == found.figures.keys()
    assert found.inception["fid"]["value"] > 0 and "fid (inception)" in str(found)
    assert json.loads(json.dumps(found.as_json()))["inception"]["coverage"]["high"] <= 1
    assert fidelity(generator, judge, num_rows=60, inception=False).inception is None
    weights.unlink()
    assert fidelity(generator, judge, num_rows=60).inception is None
    with pytest.raises(NotFoundError, match="not on this machine"):
        fidelity(generator, judge, num_rows=60, inception=True)


def test_other_weights_than_those_of_inception_are_refused(life, weights, monkeypatch):
    _, judge, generator, _ = life
    monkeypatch.setattr(inception, "DIGEST", "0" * 64)
    with pytest.raises(DataError, match="not the weights that FID is defined by"):
        fidelity(generator, judge, num_rows=60)


def test_the_wrong_class_is_no_agreement(life, monkeypatch):
    data, judge, generator, _ = life
    rows = data.rows("train")
    planted(monkeypatch, rows.images, (rows.targets + 1) % 10)
    assert fidelity(generator, judge, num_rows=200).agreement["value"] < 0.2


def test_without_a_classifier_one_is_trained_on_the_same_rows_and_kept(life):
    _, _, generator, _ = life
    first, again = (fidelity(generator, num_rows=100, epochs=1) for _ in range(2))
    assert first.judge == again.judge and first.figures == again.figures


def test_other_values_are_refused(life):
    data, judge, _, _ = life
    with pytest.raises(UsageError, match="a generator draws pictures"):
        fidelity(judge)
    with pytest.raises(UsageError, match="no generator that recorded steps made"):
        fidelity(data)
