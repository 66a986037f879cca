"""BLEU and chrF are sacrebleu's; intervals hold the figure, and shares of rows average to it."""

import numpy as np
import pytest

from lichen.engine.scores import bleu

pytest.importorskip("sacrebleu")
WANTED = [f"ein Mann mit {number} Hunden geht am alten Stein vorbei , heute ." for number in range(40)]
ZH = ["老石头上长着苔藓。", "雨落在湿树皮上。", "他今天不来了吗？"]


def said(num_wrong, seed=0):
    draws, found = np.random.default_rng(seed), []
    for row, text in enumerate(WANTED):
        words = text.split()
        if row < num_wrong:
            words[draws.integers(len(words))] = "Katze"
            words.pop(draws.integers(len(words)))
        found.append(" ".join(words))
    return found


def test_figures_are_those_of_sacrebleu():
    from sacrebleu.metrics import BLEU, CHRF

    figures, _ = bleu.judged(said(15), WANTED)
    assert figures["bleu"]["value"] == pytest.approx(BLEU(force=True).corpus_score(said(15), [WANTED]).score)
    assert figures["chrf"]["value"] == pytest.approx(CHRF().corpus_score(said(15), [WANTED]).score)
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in figures.values())


def test_equal_texts_score_a_hundred_and_strangers_nothing():
    figures, share_N = bleu.judged(WANTED, WANTED)
    assert figures["bleu"]["value"] == pytest.approx(100) and figures["bleu"]["low"] == pytest.approx(100)
    assert share_N == pytest.approx(np.full(40, 100.0))
    assert bleu.judged(["Katze"] * 40, WANTED)[0]["bleu"]["value"] < 1e-3


def test_shares_average_to_the_figure_and_are_low_where_a_row_is_wrong():
    figures, share_N = bleu.judged(said(15), WANTED)
    assert share_N.mean() == pytest.approx(figures["bleu"]["value"], rel=1e-5)
    assert share_N[:15].max() < share_N[15:].min()


def test_paired_shares_tell_how_sure_a_difference_is():
    """The spread of differences of shares is that of differences drawn again."""
    from lichen.engine.scores import metrics

    one, other = said(20, seed=1), said(10, seed=2)
    (a, share_N), (b, others_N) = bleu.judged(one, WANTED), bleu.judged(other, WANTED)
    difference_N = share_N - others_N
    error = difference_N.std(ddof=1) / np.sqrt(40)
    measure = bleu.of(WANTED)["bleu"]
    counts = [bleu._counted(measure, texts, WANTED) for texts in (one, other)]
    drawn = [bleu._scored(measure, times @ counts[0]) - bleu._scored(measure, times @ counts[1])
             for times in metrics.resampled(40)]  # fmt: skip
    assert difference_N.mean() == pytest.approx(a["bleu"]["value"] - b["bleu"]["value"], abs=1e-3)
    assert error == pytest.approx(np.std(drawn), rel=0.25)


def test_chinese_is_counted_by_characters():
    assert bleu.words_of(ZH) == "zh" and bleu.words_of(WANTED) == "13a"
    other = [text.replace("了", "").replace("老", "旧") for text in ZH]
    from sacrebleu.metrics import BLEU

    found = bleu.judged(other, ZH)[0]["bleu"]["value"]
    assert found == pytest.approx(BLEU(tokenize="zh", force=True).corpus_score(other, [ZH]).score)
    assert found > 40


def test_one_row_alone_has_no_interval():
    figures, share_N = bleu.judged(WANTED[:1], WANTED[1:2])
    assert figures["bleu"]["low"] == figures["bleu"]["value"] == figures["bleu"]["high"] == share_N[0]


def test_texts_are_kept_as_they_were():
    texts = ["", "Flechte ö", "苔藓"]
    one, other = bleu.packed(texts, WANTED[:3])
    assert one.shape == other.shape
    assert bleu.unpacked(one) == texts and bleu.unpacked(other) == WANTED[:3]
