"""test_translation: pairs are learnt, told, scored and refused as they should be; a killed run resumes."""

import math
import os

import numpy as np
import pytest
import torch
from quiet import Quiet, Stopped
from translations import drawn, pairs, sentences, translated

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.scores import bleu
from lichen.engine.task import task_of
from lichen.engine.training import supervised
from lichen.steps.prepare.bpe import bpe
from lichen.steps.pretrain.train import train

TASK = task_of("translation")
SMALL = {"net": "seq2seq", "task": "translation", "net_options": {"depth": 1, "width": 16, "num_heads": 1},
         "optimizer": "muon_adamw", "table_rate": 0.01, "batch_size": 16, "precision": "float32"}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return pairs(90)


@pytest.fixture(scope="module")
def teller(data):
    return bpe.fn(data, size=300)


def fitted(data, teller, run=None, **options):
    return train.fn(data, teller, run=run or Quiet(), **{**SMALL, "epochs": 2, **options})


def test_a_language_of_reversed_words_is_learnt():
    data = pairs(220, duplicates="drop")
    options = {"depth": 1, "width": 32, "num_heads": 2, "dropout": 0.0}
    model = fitted(data, bpe.fn(data, size=300), net_options=options, epochs=7, label_smoothing=0.1)
    scores = li.evaluate(model, data)
    assert scores.headline == "bleu" and scores.value > 10
    assert scores["chrf"] > 50
    low, high = scores.interval
    assert low < scores.value < high


def test_scores_are_those_of_the_texts_and_tokens_one_by_one(data):
    model = drawn(max_tokens=30)
    scores, rows = li.evaluate(model, data), data.rows("validation")
    said = model.translate(rows.sources)
    wanted = [translated(source) for source in rows.sources]
    assert scores["bleu"] == pytest.approx(bleu.judged(said, wanted)[0]["bleu"]["value"])
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    assert bleu.unpacked(answers["answer"]) == said and bleu.unpacked(answers["truth"]) == wanted
    assert answers["outcome"].mean() == pytest.approx(scores.value, abs=1e-3)
    nats, told = [], feeds.rows_of(data, "validation", model.assets)
    for row in told.whole():
        x = torch.from_numpy(row.copy())[None]
        with torch.no_grad():
            chance = torch.log_softmax(model.torch()(x)[0].double(), -1)
        target = x.chunk(2, 1)[1][0]
        count = int((target != 0).sum()) - 1
        nats.append(-chance[torch.arange(count), target[1 : count + 1].long()].sum().item())
    num_bytes = sum(len(text.encode()) for text in wanted)
    assert scores["bits_per_byte"] == pytest.approx(sum(nats) / math.log(2) / num_bytes, rel=1e-4)
    assert scores["loss"] == pytest.approx(sum(nats) / (told.lengths()[:, 1] - 1).sum(), rel=1e-4)


def test_figures_do_not_depend_on_how_many_rows_are_told_at_once(data, monkeypatch):
    model = drawn()
    rows = feeds.rows_of(data, "train", model.assets).whole()
    whole = answer.logits(model, rows)
    monkeypatch.setattr(supervised, "MOST_OUTPUTS", 3 * 20 * 264)
    assert supervised.at_once(256, model.assets) == 3
    np.testing.assert_allclose(answer.logits(model, rows), whole, atol=1e-4)


def test_smoothing_mixes_the_loss_with_that_of_all_tokens_alike(data):
    module, assets = drawn().torch(), drawn().assets
    rows = torch.from_numpy(feeds.rows_of(data, "train", assets).whole()[:9].copy())
    logits = module(TASK.inputs(rows, assets)).double()
    told = rows.chunk(2, 1)[1][:, 1:].long()[:, : logits.shape[1]]
    is_told = told != 0
    chance = torch.log_softmax(logits, -1)
    right = -chance.gather(-1, told[..., None])[..., 0][is_told].mean()
    blank = -chance.mean(-1)[is_told].mean()
    plain = supervised.objective(TASK, assets)(module, rows, None)
    smoothed = supervised.objective(TASK, assets, label_smoothing=0.2)(module, rows, None)
    torch.testing.assert_close(plain.double(), right, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(smoothed.double(), 0.8 * right + 0.2 * blank, atol=1e-5, rtol=1e-5)


def test_equal_seeds_give_equal_bytes_and_a_killed_run_resumes_to_them(data, teller):
    how = {"ema": 0.9, "label_smoothing": 0.1, "net_options": {**SMALL["net_options"], "dropout": 0.3}}
    whole = fitted(data, teller, **how)
    assert fitted(data, teller, **how).digest == whole.digest
    assert fitted(data, teller, **how, seed=1).digest != whole.digest
    run = Quiet(stop_after=5)
    with pytest.raises(Stopped):
        fitted(data, teller, run, **how)
    assert fitted(data, teller, Quiet(kept=run.kept), **how).digest == whole.digest


def test_while_it_trains_bits_per_byte_decide(data, teller):
    run = Quiet()
    model = fitted(data, teller, run, epochs=4, rate=0.5, schedule="constant", patience=1)
    figures = [entry["bits_per_byte"] for entry in run.history()]
    assert li.evaluate(model, data)["bits_per_byte"] == pytest.approx(min(figures), rel=1e-4)


def test_a_metric_of_ones_own_judges_texts(data):
    def length_ratio(said, wanted):
        return float(sum(map(len, said)) / sum(map(len, wanted)))

    model = drawn(max_tokens=30)
    wanted = data.rows("validation").wanted
    ratio = sum(map(len, model.translate(data.rows("validation").sources))) / sum(map(len, wanted))
    assert li.evaluate(model, data, metric=length_ratio).value == pytest.approx(ratio)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_what_cannot_be_is_named(data, teller):
    with pytest.raises(DataError, match="pairs of texts, a column for `text` and one for `target`"):
        fitted(li.texts(sentences(40)), teller)
    for net, options in (("bag", {}), ("gpt", {"depth": 1, "width": 16, "num_heads": 1})):
        with pytest.raises(UsageError, match="from its source; this one does not"):
            fitted(data, teller, net=net, net_options=options)
    with pytest.raises(UsageError, match="must tell the token after each one"):
        li.pretrain.language(
            li.texts(sentences(40)), teller, net="seq2seq", steps=1, net_options={"depth": 1, "width": 32}
        )
    with pytest.raises(UsageError, match="has its own loss"):
        supervised.objective(TASK, {}, loss=lambda outputs, targets: 0)
    with pytest.raises(UsageError, match="its tokenizer|tokenizer"):
        fitted(data, None)
    model = drawn()
    for step in (li.deploy.export, li.compress.quantize):
        with pytest.raises(UsageError, match="texts|pictures"):
            step(model, data)


def test_a_tuned_translator_is_better(data):
    model = drawn(max_tokens=30)
    tuned = li.adapt.finetune(model, data, optimizer="adamw", epochs=1, batch_size=8, precision="float32")
    assert li.evaluate(tuned, data)["bits_per_byte"] < li.evaluate(model, data)["bits_per_byte"]


@pytest.mark.slow
@pytest.mark.skipif("LICHEN_DATA" not in os.environ, reason="needs LICHEN_DATA with tatoeba_en_zh")
def test_english_becomes_chinese():
    from sacrebleu.metrics import BLEU

    data = li.load("tatoeba_en_zh", text="en", target="zh", num_train=3000)
    model = fitted(data, bpe.fn(data, size=1200), net_options={"depth": 1, "width": 64}, epochs=2)
    rows, many = data.rows("validation"), 60
    sources, wanted = list(rows.sources[:many]), list(rows.wanted[:many])
    scores = li.evaluate(model, li.bitext(sources, wanted, splits=["validation"] * many))
    said = bleu.unpacked(scores.answers()["answer"].numpy())
    assert bleu.words_of(said) == bleu.words_of(wanted) == "zh"
    counted = BLEU(tokenize="zh", force=True).corpus_score(said, [wanted])
    assert scores.value == pytest.approx(counted.score)
    strangers = li.bitext(sources, wanted[::-1], splits=["validation"] * many)
    assert scores["bits_per_byte"] < li.evaluate(model, strangers)["bits_per_byte"] - 0.05
    assert scores["bits_per_byte"] < 2.5
