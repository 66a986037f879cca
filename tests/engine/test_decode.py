"""Decoded texts follow the model's own chances, the same with a cache or without, alone or side by side."""

from dataclasses import replace

import pytest
import torch
from languages import drawn
from torch import nn

from lichen.core import session
from lichen.core.errors import OptionError, UsageError
from lichen.data.tokenizer import END, PAD
from lichen.engine.decode import Decoder
from lichen.engine.sampling import Sampling
from lichen.nets.gpt import Gpt

GREEDY = Sampling(temperature=0)
PROMPTS = ["moss", "the old stone", "", "rain on the wet bark"]


@pytest.fixture(scope="module")
def model():
    return drawn()


@pytest.fixture
def decoder(model):
    return Decoder.of(model)


def told(decoder, prompts, sampling, num=12, **how):
    found = [[] for _ in prompts]
    for step in decoder.tokens([decoder.read(prompt) for prompt in prompts], num, sampling, **how):
        for row, token in step.items():
            found[row].append(token)
    return found


def test_greedy_is_the_likeliest_token_of_the_whole_past_each_time(decoder):
    (found,) = told(decoder, ["moss"], GREEDY)
    past = decoder.read("moss").tolist()
    for token in found:
        with torch.no_grad():
            logits = decoder.module(torch.tensor([past], dtype=torch.int32))[0, -1]
        logits[PAD] = -torch.inf
        assert token == logits.argmax()
        past.append(token)


class Likes(nn.Module):
    """Tells one token after everything, and where it may not be told another."""

    def __init__(self, token):
        super().__init__()
        self.logits = nn.Parameter(torch.eye(260)[token] * 9 + torch.eye(260)[50])

    def forward(self, x):
        return self.logits.expand(*x.shape, -1).clone()


def test_the_number_that_fills_rows_up_is_never_told_but_may_end_a_text(decoder):
    """In some tokenizers of others the number 0 ends a text; without it a text would never end."""
    likes = replace(decoder, module=Likes(PAD))
    assert told(likes, ["moss"], GREEDY)[0].count(PAD) == 0 and len(told(likes, ["moss"], GREEDY)[0]) == 12
    ends = replace(likes, tokenizer=replace(decoder.tokenizer, stops=frozenset({PAD})))
    assert told(ends, ["moss"], GREEDY) == [[]]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.3, top_k=40, seed=3)])
def test_cached_and_uncached_texts_are_equal_also_past_what_the_net_reads(decoder, monkeypatch, sampling):
    with_cache = told(decoder, PROMPTS, sampling, num=40)
    monkeypatch.delattr(Gpt, "cache")
    assert told(decoder, PROMPTS, sampling, num=40) == with_cache
    assert max(map(len, with_cache)) > 0


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, seed=5)])
def test_texts_do_not_depend_on_what_is_told_beside(decoder, sampling):
    together = decoder.generate(PROMPTS, max_new_tokens=12, sampling=sampling)
    assert decoder.generate(PROMPTS, max_new_tokens=12, sampling=sampling, batch_size=1) == together
    assert decoder.generate(PROMPTS, max_new_tokens=12, sampling=sampling, batch_size=3) == together


def test_equal_seeds_say_the_same_and_others_something_else(model):
    said = [model.generate(PROMPTS, max_new_tokens=12, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]


def test_a_stream_says_what_generate_says_in_whole_characters(decoder):
    for seed in range(3):
        sampling = Sampling(temperature=2.0, seed=seed)
        parts = list(decoder.stream("moss", max_new_tokens=20, sampling=sampling))
        assert ["".join(parts)] == decoder.generate(["moss"], max_new_tokens=20, sampling=sampling)


def test_a_text_ends_where_its_document_does(decoder, monkeypatch):
    calls = iter(range(100))
    real = Sampling.draw

    def draw(self, logits, rows, step):
        next_B = real(self, logits, rows, step)
        return torch.where(torch.tensor([row + 2 == step for row in rows]), END, next_B) + 0 * next(calls)

    monkeypatch.setattr(Sampling, "draw", draw)
    found = told(decoder, PROMPTS, Sampling(temperature=1.0, seed=1), num=30)
    assert [len(tokens) for tokens in found] == [2, 3, 4, 5]


def test_only_a_language_model_tells_texts(model):
    other = model.with_weights(model.weights(), assets={"labels": ["a", "b"]})
    with pytest.raises(UsageError, match="only a language model"):
        other.generate("moss")
    with pytest.raises(OptionError, match="max_new_tokens"):
        model.generate("moss", max_new_tokens=0)


@pytest.mark.parametrize("source", ["{{ messages[0].content }}", "x<|end|>{{ messages[0].content }}<|end|>"])
def test_a_program_with_a_cache_answers_templates_that_begin_with_any_token_as_its_model(model, source):
    """Documents begin at marks for both: a template need not begin with END, and may say it within."""
    from lichen.data import chat
    from lichen.engine.programs import executables, gptfile

    template = chat.plain(model.assets["tokenizer"], source)
    spoken = model.with_weights(model.weights(), assets={**model.assets, "template": template})
    program = executables.build(
        spoken, {"model.onnx": gptfile.of(spoken)}, runtime="onnxruntime", precision="float32"
    )
    talks = [[{"role": "user", "content": prompt}] for prompt in ("moss", "rain on the wet bark")]
    by_net, by_graph = (one.generate(talks, temperature=0, max_new_tokens=30) for one in (spoken, program))
    assert by_net == by_graph
    assert by_net != spoken.generate(["moss", "rain on the wet bark"], temperature=0, is_plain=True)


def test_a_graph_without_a_cache_is_asked_in_numbers_without_marks_or_not_at_all(model):
    """It would take the mark of a beginning for another token."""
    from lichen.data import chat
    from lichen.engine.decode import Uncached

    asset, end = model.assets["tokenizer"], "<|end|>"
    graph = Uncached.__new__(Uncached)
    plain = {**model.assets, "template": chat.plain(asset)}
    by_net, found = (Decoder.around(one, plain).read("moss") for one in (model.torch(), graph))
    assert by_net[0] < 0 <= found.min() and found.tolist() == [~by_net[0], *by_net[1:]]
    for source in ("{{ messages[0].content }}", end + "{{ messages[0].content }}" + end):
        odd = {**model.assets, "template": chat.plain(asset, source)}
        with pytest.raises(UsageError, match="ask the Model|begins a document"):
            Decoder.around(graph, odd).read("moss")


def test_a_prompt_that_is_not_heard_whole_is_warned_of(model):
    said = []
    with session.using(session.Session()) as here:
        here.events.sinks.append(lambda event: said.append(event.get("text")))
        model.generate(["moss", "stone"], max_new_tokens=1)
        assert said == []
        model.generate(["moss", "moss " * 40], max_new_tokens=1)
    (text,) = said
    assert text.startswith("the model reads 24 tokens; of a prompt of ") and text.endswith(
        "last 12 are heard"
    )
