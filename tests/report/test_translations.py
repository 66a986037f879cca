"""The report shows what texts became beside what they were to become: some, the worst and the best."""

import numpy as np
from translations import drawn, pairs

import lichen as li
from lichen.report import translations


def test_rows_are_shown_with_source_reference_and_translation():
    data, model = pairs(120), drawn(max_tokens=30)
    scores, rows = li.evaluate(model, data), data.rows("validation")
    random, worst, best = translations.shown(scores, rows)
    said = model.translate(rows.sources)
    share_N = scores.answers()["outcome"].numpy()
    lowest = int(share_N.argmin())
    for text in (rows.sources[lowest], rows.wanted[lowest]):
        assert f">{text}<" in str(worst)
    highest = int(np.argsort(share_N, kind="stable")[-1])
    assert f">{rows.sources[highest]}<" in str(best) and "share of bleu" in str(random)
    assert len(said) == len(share_N) == rows.num_rows


def test_groups_are_ten_rows_by_place_and_by_share():
    share_N = np.random.default_rng(0).normal(size=50)
    random, worst, best = (rows for _, rows in translations.groups(share_N))
    assert len(set(random.tolist())) == 10
    assert share_N[worst].max() < np.sort(share_N)[10] and share_N[best].min() > np.sort(share_N)[-11]
