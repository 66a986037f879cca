"""test_language: a language model learns what can be told of texts, and a killed run resumes to the bytes."""

import math

import numpy as np
import pytest
import torch
from languages import texts
from quiet import Quiet, Stopped

import lichen as li
from lichen.core.errors import DivergedError, UsageError
from lichen.core.model import Model
from lichen.data import batches, packing, tokenizer
from lichen.steps.prepare.bpe import bpe
from lichen.steps.pretrain.language import language

SMALL = {"net_options": {"depth": 1, "width": 16, "num_heads": 1}, "max_tokens": 16, "batch_size": 4}


@pytest.fixture(scope="module")
def data():
    return texts()


@pytest.fixture(scope="module")
def teller(data):
    return bpe.fn(data, size=260)


def fitted(data, teller, run=None, **options):
    return language.fn(data, teller, run=run or Quiet(), **{**SMALL, "steps": 6, "rounds": 3, **options})


def test_a_source_of_known_entropy_is_told_nearly_as_well_as_can_be():
    """Each letter is one of two, by the letter before: one bit of every byte cannot be told."""
    follows = {"a": "bc", "b": "cd", "c": "da", "d": "ab"}
    draws = np.random.default_rng(0)
    rows = []
    for _ in range(60):
        letters = ["a"]
        for side in draws.integers(0, 2, 99):
            letters.append(follows[letters[-1]][side])
        rows.append("".join(letters))
    data = li.texts(rows, duplicates="drop")
    teller = bpe.fn(data, size=260)
    model = fitted(data, teller, steps=40, rounds=1, batch_size=8, max_tokens=32, head_rate=0.02,
                   table_rate=0.05, rate=0.05)  # fmt: skip
    found = li.evaluate(model, data)
    assert 0.98 < found.value < 1.15
    assert found["loss"] == pytest.approx(math.log(found["perplexity"]))


def test_a_killed_run_resumes_to_the_same_bytes(data, teller):
    whole = fitted(data, teller, ema=0.9)
    for stop_after in (1, 3, 5):
        run = Quiet(stop_after=stop_after)
        with pytest.raises(Stopped):
            fitted(data, teller, run, ema=0.9)
        assert fitted(data, teller, Quiet(kept=run.kept), ema=0.9).digest == whole.digest


def test_patience_keeps_the_best_round(data, teller):
    run = Quiet()
    model = fitted(data, teller, run, steps=12, rounds=6, rate=0.5, schedule="constant", patience=1)
    figures = [entry["bits_per_byte"] for entry in run.history()]
    assert li.evaluate(model, data).value == pytest.approx(min(figures), rel=1e-4)


def test_a_loss_that_is_not_finite_never_reaches_the_weights(data, teller):
    with pytest.raises(DivergedError, match="after 3 retries"):
        fitted(data, teller, optimizer="sgd", rate=1e30)


def test_rounds_are_the_batches_of_epoch_after_epoch(data, teller):
    rows = packing.Packs(data.rows("train"), tokenizer.of(teller.assets["tokenizer"]), 16)
    made = batches.of(rows, batch_size=32, has_targets=False, drops_last=True)
    rounds = batches.Rounds(made, 5)
    wanted = [batch.images for epoch in range(9) for batch in made.epoch(epoch)][:20]
    found = [batch.images for number in range(4) for batch in rounds.epoch(number)]
    assert len(found) == 20
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    rest = [batch.images for batch in rounds.epoch(2, start=3)]
    assert all(torch.equal(a, b) for a, b in zip(rest, wanted[13:15], strict=True))
    assert all(len(images) == 32 for images in found)


def test_it_is_learnt_through_a_tokenizer(data):
    other = Model.build(net=None, options={}, weights={}, assets={"labels": ["a"]})
    with pytest.raises(UsageError, match=r"prepare\.bpe"):
        fitted(data, other)
