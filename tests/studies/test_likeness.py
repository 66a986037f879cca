"""A generator of rows is as good as its rows: held-back real ones are, shuffled columns are not."""

import json

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import UsageError
from lichen.data import encoder
from lichen.engine.generation import generating
from lichen.studies.likeness import likeness


def columns(num_rows, seed):
    draws = np.random.default_rng(seed)
    y = draws.integers(0, 2, num_rows)
    x = np.where(y, 2.0, -2.0) + draws.normal(size=num_rows)
    return {"x": x.tolist(), "z": (x + draws.normal(size=num_rows)).tolist()}, y


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    with li.opened(tmp_path_factory.mktemp("s") / ".lichen"):
        table, y = columns(300, 0)
        data = li.table(
            table, y, ["low", "high"], ["train" if row % 2 else "validation" for row in range(300)]
        )
        options = {"width": 8, "num_codes": 4, "pack": 2, "batch_size": 50}
        yield data, li.generate.ctgan(data, epochs=1, **options).generator


def planted(monkeypatch, rows_of):
    """A generator that draws rows by class."""

    def cells(model, targets_M, *, seed, **others):
        told = encoder.of(model.assets["encoder"])
        return told.encode(rows_of(targets_M, seed))

    monkeypatch.setattr(generating, "cells", cells)


def drawn(targets_M, seed):
    draws = np.random.default_rng(seed + 7)
    x = np.where(targets_M, 2.0, -2.0) + draws.normal(size=len(targets_M))
    return [
        {"x": a, "z": b} for a, b in zip(x.tolist(), (x + draws.normal(size=len(x))).tolist(), strict=True)
    ]


def test_rows_of_the_same_source_are_like_real_ones_and_as_useful(life, monkeypatch):
    planted(monkeypatch, drawn)
    found = likeness(life[1], life[0], epochs=5)
    for name, one in found.figures.items():
        assert one["value"] < 0.1 + found.chance[name]["value"]
    assert not found.copies and found.lost["low"] < 0.05
    assert json.loads(json.dumps(found.as_json()))["num_rows"] == life[0].num_rows("validation")
    assert "no sign of copied train rows" in str(found)


def test_rows_of_the_wrong_class_teach_nothing_and_columns_apart_are_seen(life, monkeypatch):
    planted(monkeypatch, lambda targets_M, seed: drawn(1 - targets_M, seed))
    assert likeness(life[1], life[0], epochs=5).lost["low"] > 0.3

    def apart(targets_M, seed):
        rows = drawn(targets_M, seed)
        other = np.random.default_rng(seed).permutation(len(rows))
        return [
            {"x": row["x"], "z": rows[place]["z"]} for row, place in zip(rows, other.tolist(), strict=True)
        ]

    planted(monkeypatch, apart)
    assert likeness(life[1], life[0], epochs=1).figures["correlation_distance"]["low"] > 0.5


def test_a_copier_is_flagged(life, monkeypatch):
    train = life[0].rows("train")
    planted(
        monkeypatch,
        lambda targets_M, seed: [train.records[row % len(train)] for row in range(len(targets_M))],
    )
    found = likeness(life[1], life[0], epochs=1)
    assert found.copies and found.says_no
    assert found.nearest
    assert all(pair["made"] == pytest.approx(pair["real"], rel=1e-4) for pair in found.nearest)


def test_what_makes_no_rows_is_refused(life):
    model = li.pretrain.train(life[0], net="mlp", task="tabular_classification", epochs=1)
    with pytest.raises(UsageError, match="no generator of rows"):
        likeness(li.wrap(model.torch()))
