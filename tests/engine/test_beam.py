"""A beam finds the best text of a known source of chances, from greedy at one place to exhaustive at many."""

import itertools
import math

import numpy as np
import pytest
import torch

from lichen.core.errors import OptionError
from lichen.data.tokenizer import END, PAD
from lichen.engine.beam import Beam

VOCABULARY, MOST = 5, 5


class Table:
    """Tells the next token by the last two, otherwise for each text; logits as they are."""

    def __init__(self, num_texts, seed=0, scale=2.0):
        draws = torch.Generator().manual_seed(seed)
        shape = (num_texts, VOCABULARY, VOCABULARY, VOCABULARY)
        self.table = scale * torch.randn(shape, generator=draws)
        self.texts = torch.arange(num_texts)
        self.last = torch.zeros(num_texts, 1, dtype=torch.long)
        self.newest = None

    def next(self, newest_BJ):
        self.newest = newest_BJ
        return self.table[self.texts[:, None], self.last, newest_BJ]

    def keep(self, texts_B, parents_BJ):
        self.texts = self.texts[texts_B]
        self.last = self.newest[texts_B].gather(1, parents_BJ)

    def only(self, text):
        """The same source for one of its texts alone."""
        alone = Table(1)
        alone.table = self.table[text : text + 1]
        return alone

    def log_prob(self, text, tokens):
        """Of a sequence of tokens, told one by one."""
        last, newest, total = PAD, END, 0.0
        for token in tokens:
            total += float(torch.log_softmax(self.table[text, last, newest].double(), -1)[token])
            last, newest = newest, token
        return total


def searched(beam, table, num_texts):
    return beam.search(table, [MOST] * num_texts, start=END, stops={END})


def every_text():
    """All texts of up to MOST tokens, the end included."""
    others = [token for token in range(VOCABULARY) if token not in (PAD, END)]
    return [tokens for length in range(MOST) for tokens in itertools.product(others, repeat=length)]


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.5])
def test_with_a_place_for_every_text_it_is_an_exhaustive_search(penalty):
    beam = Beam(width=400, penalty=penalty)
    for text, found in enumerate(searched(beam, Table(6), 6)):
        scores = {tokens: beam.score(Table(6).log_prob(text, (*tokens, END)), len(tokens) + 1)
                  for tokens in every_text()}  # fmt: skip
        best = max(scores, key=scores.get)
        assert found[0].tokens == best
        assert found[0].score == pytest.approx(scores[best], abs=1e-5)


def test_one_place_is_always_the_likeliest_token():
    for text, (only,) in enumerate(searched(Beam(width=1, penalty=0.6), Table(40), 40)):
        table, last, newest, wanted = Table(40).table[text].clone(), PAD, END, []
        table[..., PAD] = -math.inf
        while len(wanted) < MOST and not (wanted and wanted[-1] == END):
            last, newest = newest, int(table[last, newest].argmax())
            wanted.append(newest)
        assert only.is_whole == (wanted[-1] == END)
        assert [*only.tokens, *([END] if only.is_whole else [])] == wanted


def test_scores_are_sums_of_log_probabilities_over_the_length_penalty():
    for text, found in enumerate(searched(Beam(width=4, penalty=0.8), Table(20), 20)):
        for one in found:
            told = (*one.tokens, END) if one.is_whole else one.tokens
            assert one.log_prob == pytest.approx(Table(20).log_prob(text, told), abs=1e-5)
            assert one.score == pytest.approx(one.log_prob / ((5 + len(told)) / 6) ** 0.8, abs=1e-5)
        scores = [one.score for one in found if one.is_whole]
        assert scores == sorted(scores, reverse=True)
        assert all(PAD not in one.tokens and END not in one.tokens for one in found)


def test_a_text_does_not_depend_on_those_beside_it():
    beam = Beam(width=3)
    together = searched(beam, Table(20), 20)
    assert [searched(beam, Table(20).only(text), 1)[0] for text in range(20)] == together


def test_stopping_early_loses_no_best_text(monkeypatch):
    beam = Beam(width=3, penalty=1.2)
    early = [found[0] for found in searched(beam, Table(60), 60)]
    monkeypatch.setattr("lichen.engine.beam._Race._may_win", lambda race, text: (
        race.length < MOST and bool(race.total_BJ[text].max() > -np.inf)))  # fmt: skip
    late = searched(beam, Table(60), 60)
    assert [found[0] for found in late] == early
    assert sum(map(len, late)) > len(early)


def test_more_places_find_better_texts_on_the_whole_and_longer_ones_where_they_are_favoured():
    def mean(what, **how):
        return np.mean([what(found[0]) for found in searched(Beam(**how), Table(80), 80)])

    def chance(one):
        return one.log_prob if one.is_whole else -20.0

    assert (
        mean(chance, width=1, penalty=0)
        < mean(chance, width=3, penalty=0)
        <= mean(chance, width=400, penalty=0)
    )
    lengths = [mean(lambda one: len(one.tokens), width=400, penalty=penalty) for penalty in (0, 0.6, 2)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


def test_a_text_without_an_end_in_time_comes_last():
    table = Table(3)
    table.table[..., END] = -9.0
    for found in searched(Beam(width=3), table, 3):
        assert [one.is_whole for one in found] == sorted((one.is_whole for one in found), reverse=True)
        assert all(len(one.tokens) == MOST for one in found if not one.is_whole)


@pytest.mark.parametrize(("given", "said"), [({"width": 0}, "`beam`"), ({"penalty": -1}, "`length_penalty`")])
def test_figures_out_of_their_range_are_refused(given, said):
    with pytest.raises(OptionError, match=said):
        Beam(**given)
