"""attribution: the page shows which pixels spoke, orange for and blue against, or says in a line why not."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import lives

from lichen.core import session
from lichen.core.model import Model
from lichen.engine import attribution as engine
from lichen.report import attribution, findings

PICTURES = """
lichen: 1
data: {source: SOURCE}
steps:
  - pretrain.train: {net: mlp, epochs: 1, precision: float32}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("why")
    lives.pictures(root / "rows", ["one", "two", "three", "four"], "x", per_label=8)
    digest = lives.live(PICTURES.replace("SOURCE", str(root / "rows")), root / ".lichen", test=False).digest
    with session.opened(root / ".lichen") as opened:
        return findings.gather(opened.store.resolve(digest), opened)


def test_right_and_wrong_rows_are_shown_with_what_spoke(found):
    pytest.importorskip("captum")
    drawn = attribution.attribution(found)
    assert "adds up" in drawn and "They are of the model" not in drawn
    kinds = re.findall(r'alt="(as it is|what spoke for [a-z]+)"', drawn)
    assert "as it is" in kinds and len(kinds) > 2 * kinds.count("as it is")
    assert drawn.count("✗") + drawn.count("✓") == kinds.count("as it is") <= 2 * attribution.PER_GROUP
    assert len(drawn) < 100_000 and drawn == attribution.attribution(found)


def test_rows_are_right_ones_and_the_most_certain_errors():
    truth, answer = np.array([0, 1, 0, 1, 1, 0]), np.array([0, 1, 1, 0, 1, 1])
    answers = {"truth": truth, "answer": answer, "confidence": np.array([0.9, 0.8, 0.6, 0.95, 0.7, 0.5]),
               "outcome": (truth == answer).astype(float)}  # fmt: skip
    (_, right), (_, wrong) = attribution.chosen(answers, 2)
    assert set(right) < {0, 1, 4} and wrong.tolist() == [3, 2]


def test_orange_spoke_for_and_blue_against():
    pixels, given = np.full((1, 8, 8), 200, np.uint8), np.zeros((8, 8), np.float32)
    given[0, 0], given[7, 7] = 1.0, -1.0
    drawn = attribution.overlay(pixels, given)
    assert tuple(drawn[:, 0, 0]) == attribution.FOR and tuple(drawn[:, 7, 7]) == attribution.AGAINST
    assert len(set(drawn[:, 4, 4].tolist())) == 1 and drawn[0, 4, 4] > 200  # pale grey where nothing spoke
    assert not np.isnan(attribution.overlay(pixels, np.zeros((8, 8), np.float32))).any()


def test_large_pictures_are_made_small():
    assert attribution._small(np.zeros((1, 3, 224, 112), np.uint8)).shape == (1, 3, 64, 32)
    assert attribution.overlay(np.zeros((3, 64, 32), np.uint8), np.ones((224, 112), np.float32)).shape == (
        3,
        64,
        32,
    )


def test_what_cannot_be_shown_is_said_in_a_line(found, monkeypatch):
    monkeypatch.setattr(engine, "BUDGET_MACS", 0)
    assert "too large" in attribution.attribution(found)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    monkeypatch.setitem(sys.modules, "captum", None)
    said = attribution.attribution(found)
    assert "pip install" in said and "lichen[explain]" in said and "<img" not in said


def test_answers_about_texts_are_not_explained():
    about = {"tokenizer": {"kind": "bpe", "special": [], "merges": []}, "max_tokens": 4, "labels": ["a", "b"]}
    model = Model.build(net="gru", options={}, weights={}, task="text_classification", assets=about)
    life = SimpleNamespace(models=[SimpleNamespace(value=model)], labels=["a", "b"])
    assert not attribution.attribution(life)
