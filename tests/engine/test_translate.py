"""What a model translates is what its net tells token by token: rescored, uncached, alone or side by side."""

import numpy as np
import pytest
import torch
from languages import drawn as drawn_language
from translations import drawn, sentences

from lichen.core import session
from lichen.core.errors import DataError, UsageError
from lichen.core.session import Session
from lichen.data import pairing
from lichen.data.tokenizer import END, PAD
from lichen.engine import answer, translate
from lichen.engine.beam import Beam
from lichen.engine.translate import Telling, Translator

SOURCES = sentences(12)


@pytest.fixture(scope="module")
def model():
    return drawn()


@pytest.fixture(scope="module")
def translator(model):
    return Translator.of(model)


def rows(translator, texts=SOURCES):
    return np.stack([pairing.asked(translator.tokenizer, text, translator.room) for text in texts])


@torch.no_grad()
def chances(translator, row, tokens):
    """(T, V): log-probabilities before each token of a target, of the whole pair at once."""
    source, told = row[: len(row) // 2], [END, *tokens]
    pair = torch.zeros(1, 2, max(len(source), len(told)), dtype=torch.int32)
    pair[0, 0, : len(source)] = torch.from_numpy(source)
    pair[0, 1, : len(told)] = torch.tensor(told)
    return torch.log_softmax(translator.module(pair.flatten(1))[0, : len(told)].double(), -1)


def test_one_place_tells_the_likeliest_token_of_the_whole_past_each_time(translator):
    for row, (found,) in zip(
        rows(translator), translator.hypotheses(rows(translator), Beam(width=1)), strict=True
    ):
        told = [*found.tokens, *([END] if found.is_whole else [])]
        chance = chances(translator, row, told[:-1])
        chance[:, PAD] = -torch.inf
        assert chance.argmax(-1).tolist() == told


def test_scores_are_those_of_the_whole_pair(translator):
    for row, found in zip(
        rows(translator), translator.hypotheses(rows(translator), Beam(width=4)), strict=True
    ):
        for one in found:
            told = [*one.tokens, *([END] if one.is_whole else [])]
            chance = chances(translator, row, told[:-1])
            total = float(chance[torch.arange(len(told)), torch.tensor(told)].sum())
            assert one.log_prob == pytest.approx(total, abs=1e-4 * max(1, len(told)))


class Uncached(Telling):
    """Tells every hypothesis anew from its first token."""

    def next(self, newest_BJ):
        past = getattr(self, "past", None)
        grown = newest_BJ[..., None] if past is None else torch.cat([self.past, newest_BJ[..., None]], -1)
        self.past = grown
        return self.net.head(self.net.tell(grown.flatten(0, 1), self.memory)[:, -1]).unflatten(
            0, newest_BJ.shape
        )

    def keep(self, texts_B, parents_BJ):
        places = parents_BJ[..., None].expand(-1, -1, self.past.shape[-1])
        self.past = self.past[texts_B].gather(1, places)
        self.memory.keep_texts(texts_B)


def test_cached_and_uncached_translations_are_equal(translator, monkeypatch):
    cached = translator.hypotheses(rows(translator), Beam(width=3))
    monkeypatch.setattr(translate, "Telling", Uncached)
    for one, other in zip(cached, translator.hypotheses(rows(translator), Beam(width=3)), strict=True):
        assert [found.tokens for found in one] == [found.tokens for found in other]
        np.testing.assert_allclose(
            [found.score for found in one], [found.score for found in other], atol=1e-4
        )


@pytest.mark.parametrize("width", [1, 4])
def test_texts_do_not_depend_on_what_is_told_beside(translator, width):
    together = translator.translate(SOURCES, Beam(width=width))
    for batch_size in (1, 5):
        assert translator.translate(SOURCES, Beam(width=width), batch_size=batch_size) == together
    assert translator.translate(SOURCES[::-1], Beam(width=width)) == together[::-1]
    assert len(set(together)) > len(SOURCES) // 2


def test_a_model_says_what_its_translator_says(model, translator):
    assert model.translate(SOURCES, beam=2, length_penalty=0.0) == translator.translate(
        SOURCES, Beam(width=2, penalty=0.0)
    )
    assert model.translate("moss") == model.translate(["moss"]) == [model.predict("moss")[0]["translation"]]
    assert model.translate([]) == []


def test_a_text_that_is_longer_than_what_is_read_is_said_to_be(model):
    """Of as many tokens as fit with their END nothing is said; of one more, once in a call."""
    fits, cut = "~" * 21, "~" * 22
    with session.using(Session()) as here:
        said = []
        here.events.sinks.append(said.append)
        model.translate([fits, "moss"])
        model.predict([fits])
        assert not said
        both = model.translate([cut, "moss", cut])
        found = model.predict(["moss", cut])
        list(answer.each(model, [cut] * 3, batch_size=1))
    assert [event["kind"] for event in said] == ["warning"] * 3
    assert all("after 21 tokens" in event["text"] and repr("~" * 22) in event["text"] for event in said)
    assert [row["translation"] for row in found] == both[1::-1]


def test_mistakes_are_named(model):
    with pytest.raises(DataError, match="must be a text, not int"):
        model.translate([3])
    with pytest.raises(UsageError, match=r"only a language model tells texts.*\n?.*"):
        model.generate("moss")
    with pytest.raises(
        UsageError, match="only a model of pairs translates; this one is for language_modelling"
    ):
        drawn_language().translate("moss")
