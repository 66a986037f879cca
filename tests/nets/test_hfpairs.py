"""An encoder-decoder of transformers is asked as a seq2seq is, and tells what that library tells by it."""

import json
import shutil

import numpy as np
import pytest
import torch
from paired import (
    SOURCES,
    asked_of,
    backward,
    chance_by_transformers,
    opened,
    paired_folder,
    teller_of,
    told_by_transformers,
    type_of,
)
from translations import sentences

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.data import pairing, tokenizer
from lichen.engine.beam import Beam
from lichen.engine.language import adopting
from lichen.engine.modules import architecture
from lichen.engine.task import task_of
from lichen.engine.translate import LONGER, Translator
from lichen.layers import library as layer
from lichen.nets import hfpairs

pytestmark = pytest.mark.slow  # the library takes long to import
FORMS = {"t5": 100, "tied": 150, "marian": 150, "bart": 60}
"""Steps after which a model ends some of its texts, and is not yet sure of all."""
SIZES = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 16, "num_layers": 1, "vocab_size": 40,
         "decoder_start_token_id": 0}  # fmt: skip
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}  # fmt: skip
NUM_TRANSLATED = 8
"""Texts that are searched by a beam."""


@pytest.fixture(autouse=True)
def library():
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=FORMS)
def adopted(request, tmp_path_factory):
    """(form, folder, the Model of it)."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("made") / request.param
    paired_folder(request.param, folder, FORMS[request.param])
    return request.param, folder, li.pretrain.adopt(str(folder))


def rows_of(model, texts=SOURCES, targets=None):
    teller, length = tokenizer.of(model.assets["tokenizer"]), model.assets["max_tokens"]
    if targets is not None:
        return pairing.filled(teller, texts, targets, length)
    return np.stack([pairing.asked(teller, text, length) for text in texts])


def most(model, rows):
    """Tokens that a Translator tells at most of each row."""
    times, more = LONGER
    room = model.assets["max_tokens"] + 1
    return [min(room, times * length + more) for length in pairing.lengths(rows)[:, 0].tolist()]


def test_the_likeliest_tokens_are_those_of_generate_also_of_sources_that_are_cut(adopted):
    form, folder, model = adopted
    rows = rows_of(model)
    assert model.net == f"hf/{type_of(form)}" and model.task == "translation"
    assert pairing.are_cut(rows, tokenizer.of(model.assets["tokenizer"]).end).any()
    wanted = [text for text, _ in told_by_transformers(folder, SOURCES, 1, most(model, rows))]
    assert model.translate(SOURCES, beam=1) == wanted
    assert [model.translate(text, beam=1)[0] for text in SOURCES] == wanted


def test_hypotheses_of_a_beam_have_the_chances_that_the_library_gives_them(adopted):
    _, folder, model = adopted
    translator, chosen = Translator.of(model), SOURCES[:NUM_TRANSLATED]
    rows, (teller, net) = rows_of(model, chosen), opened(folder)
    found = translator.hypotheses(rows, Beam(width=4, penalty=0.0))
    for text, told in zip(chosen, found, strict=True):
        for one in told:
            stop = [translator.tokenizer.end] if one.is_whole else []
            theirs = [translator.tokenizer.traded(number) for number in [*one.tokens, *stop]]
            wanted = chance_by_transformers(teller, net, text, model.options["first"], theirs)
            assert one.log_prob == pytest.approx(wanted, abs=1e-3)
    alone = [translator.hypotheses(row[None], Beam(width=4, penalty=0.0))[0] for row in rows]
    assert [[one.tokens for one in told] for told in alone] == [
        [one.tokens for one in told] for told in found
    ]


def test_where_all_hypotheses_end_a_beam_tells_what_generate_tells(adopted):
    """Or generate found a likelier text: there a hypothesis that ended leaves its place to another."""
    _, folder, model = adopted
    translator, chosen = Translator.of(model), SOURCES[:NUM_TRANSLATED]
    rows = rows_of(model, chosen)
    found = translator.hypotheses(rows, Beam(width=4, penalty=0.0))
    wanted = told_by_transformers(folder, chosen, 4, most(model, rows))
    ours = model.translate(chosen, beam=4, length_penalty=0.0)
    ended = [row for row, told in enumerate(found) if all(one.is_whole for one in told)]
    equal = [row for row in ended if ours[row] == wanted[row][0]]
    assert len(equal) >= 2
    for row in set(ended) - set(equal):
        assert wanted[row][1] > found[row][0].log_prob


@torch.no_grad()
def test_losses_of_targets_are_those_of_labels(adopted):
    form, folder, model = adopted
    texts = sentences(6, seed=3)
    wanted = opened(folder)[1](**asked_of(teller_of(type_of(form)), texts)).loss
    rows = torch.from_numpy(rows_of(model, texts, [backward(text) for text in texts]))
    found = task_of("translation").objective(model.torch().eval(), rows, model.assets)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_a_saved_model_needs_no_folder(adopted, tmp_path):
    _, folder, model = adopted
    shutil.copytree(folder, tmp_path / "made")
    again = li.pretrain.adopt(str(tmp_path / "made"))
    shutil.rmtree(tmp_path / "made")
    again.save(tmp_path / "m.lichen")
    opened_again = li.open(tmp_path / "m.lichen")
    assert opened_again.digest == model.digest
    assert opened_again.translate(SOURCES) == model.translate(SOURCES)


def test_it_learns_further_pairs(adopted):
    _, _, model = adopted
    texts = sentences(60, seed=5)
    data = li.bitext(texts, [backward(text) for text in texts])
    tuned = li.adapt.finetune(model, data, epochs=3, freeze="none", precision="float32", rate=0.003)
    rows = torch.from_numpy(rows_of(model, texts, [backward(text) for text in texts]))
    with torch.no_grad():
        before, after = (
            float(task_of("translation").objective(one.torch().eval(), rows, one.assets))
            for one in (model, tuned)
        )
    assert after < before - 0.05
    assert li.evaluate(tuned, data).value >= 0


@pytest.mark.parametrize("where", ["generation_config.json", "config.json"])
def test_a_token_that_is_forced_upon_every_target_is_not_told(where, tmp_path):
    folder = tmp_path / "made"
    paired_folder("bart", folder)
    free = li.pretrain.adopt(str(folder))
    if where == "config.json":
        (folder / "generation_config.json").unlink()
    config = json.loads((folder / where).read_text())
    (folder / where).write_text(json.dumps({**config, "forced_bos_token_id": 0}))
    model = li.pretrain.adopt(str(folder))
    assert (free.options["first"], model.options["first"]) == ([2], [2, 0])
    longest = [length + 1 for length in most(model, rows_of(model))]  # which the forced one is of there
    wanted = [text for text, _ in told_by_transformers(folder, SOURCES, 1, longest)]
    assert model.translate(SOURCES, beam=1) == wanted != free.translate(SOURCES, beam=1)


def test_what_cannot_be_adopted_is_told_clearly(tmp_path, monkeypatch):
    folder = tmp_path / "made"
    paired_folder("marian", folder, num_steps=1)
    monkeypatch.setattr(adopting, "OF_LANGUAGES", ("marian",))
    with pytest.raises(UsageError, match="must have one way; marian is told languages"):
        li.pretrain.adopt(str(folder))
    monkeypatch.undo()
    file = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**file, "post_processor": None}))
    with pytest.raises(UsageError, match=r"a source must end with 0, .*ends it with \[\]"):
        li.pretrain.adopt(str(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"beside its tokenizer\.json(.|\n)*AutoTokenizer writes one"):
        li.pretrain.adopt(str(folder))


def made(variant, **options):
    torch.manual_seed(0)
    return architecture.build(f"hf/{variant}", options, (16, 40), 0).eval()


def row(source=6, target=6, rows=3, width=10, seed=1):
    """Pairs of tokens 2..39, filled up."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.zeros(rows, 2 * width, dtype=torch.int32)
    x[:, :source] = torch.randint(2, 40, (rows, source), generator=draws)
    x[:, width : width + target] = torch.randint(2, 40, (rows, target), generator=draws)
    return x


@pytest.mark.parametrize("kind", ["t5", "marian", "bart"])
@torch.no_grad()
def test_what_fills_a_pair_up_does_not_change_what_is_told(kind):
    net, short, long = made(kind), row(4, 5), row(9, 8, seed=3)
    beside = torch.cat([short, long])
    torch.testing.assert_close(net(beside)[:3, :5], net(short), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(short[:, :-1]), net(short))
    assert torch.isfinite(net(torch.zeros(1, 8, dtype=torch.int32))).all()


def test_without_the_mask_it_would(monkeypatch):
    read = hfpairs.HfPairs.read

    def deaf(self, source_BS):
        memory = read(self, source_BS)
        return hfpairs.Memory(memory.states_BSD, torch.ones_like(memory.seen_BS))

    monkeypatch.setattr(hfpairs.HfPairs, "read", deaf)
    with pytest.raises(AssertionError):
        test_what_fills_a_pair_up_does_not_change_what_is_told("t5")


@pytest.mark.parametrize("kind", ["t5", "marian", "bart"])
@pytest.mark.parametrize("first", [[1], [1, 7]])
@torch.no_grad()
def test_cached_and_uncached_answers_are_equal_also_of_several_hypotheses(kind, first):
    net, x = made(kind, first=first), row()
    source, target = x.chunk(2, 1)
    others = row(seed=5).chunk(2, 1)[1]
    wanted = torch.stack([net(torch.cat([source, told], 1)) for told in (target, others)], 1)  # B, J, T, V
    rows = torch.stack([target, others], 1).flatten(0, 1)[:, :6]
    for parts in ([6], [1] * 6, [2, 1, 3]):
        memory, cache = net.read(source), net.cache(6)
        found = torch.cat([net.head(net.tell(part, memory, cache)) for part in rows.split(parts, 1)], 1)
        torch.testing.assert_close(found.unflatten(0, (3, 2)), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["t5", "marian", "bart"])
@torch.no_grad()
def test_rows_that_go_on_take_what_was_kept_of_them_along(kind):
    net, x = made(kind), row()
    source, target = x.chunk(2, 1)
    rows = torch.tensor([2, 0, 2, 1, 1, 0])
    memory, cache = net.read(source[:1]), net.cache(6)
    net.tell(target[:, :4], memory, cache)
    cache.keep_rows(rows)
    assert cache.num_rows == 6
    found = net.head(net.tell(target[rows, 4:6], memory, cache))
    wanted = net.head(net.tell(target[:, :6], memory))[rows, 4:]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_source_that_was_cut_ends_there():
    net, x = made("t5", end=3), row(source=10)
    ended = x.clone()
    ended[:, 9] = 3
    assert not torch.equal(ended, x) and torch.equal(net(ended), net(x))
    states = net.encoder(input_ids=ended[:, :10].long()).last_hidden_state
    torch.testing.assert_close(net.read(x[:, :10]).states_BSD, states)


def test_a_bias_of_the_library_s_logits_counts():
    whole = layer.made("bart", "pairs", {**BART, "vocab_size": 40})
    whole.final_logits_bias.normal_()
    assert hfpairs.of(whole, blank=None, first=[2]).head.bias_1V.abs().max() > 0.1


@pytest.mark.parametrize(("size", "blank"), [(40, 7), (41, 40)])
@torch.no_grad()
def test_numbers_of_tokens_trade_places_in_and_out(size, blank):
    torch.manual_seed(0)
    net = architecture.build("hf/t5", {"blank": blank, "config": SIZES}, (16, size), 0).eval()
    torch.manual_seed(0)
    whole, x = layer.made("t5", "pairs", SIZES).eval(), row()
    x[:, 2] = x[:, 13] = blank
    x[:, 5] = x[:, 10] = 1
    source, target = torch.where(x == blank, 0, x).long().chunk(2, 1)
    wanted = whole(input_ids=source[:, :6], attention_mask=torch.ones(3, 6).long(),
                   decoder_input_ids=target[:, :6]).logits  # fmt: skip
    told = net(x)
    assert told.shape == (3, 6, size)
    order = [blank, *range(1, 40)]
    if blank < 40:
        order[blank] = 0
    else:
        assert (told[..., 0] < -1e30).all()
    torch.testing.assert_close(told[..., order], wanted, atol=1e-5, rtol=1e-4)


def test_what_is_no_encoder_decoder_is_named():
    with pytest.raises(UsageError, match="`mpnet` is no encoder-decoder of transformers"):
        made("mpnet", kind="pairs")
    with pytest.raises(UsageError, match="tells the tokens of a text and no kinds"):
        architecture.build("hf/t5", {}, (16, 40), 3)


def test_one_that_does_more_than_its_parts_is_refused():
    whole = layer.made("t5", "pairs", SIZES)
    assert hfpairs.of(whole, blank=None, first=[0]).head is not None
    plain = whole.forward

    def forward(**given):
        said = plain(**given)
        said.logits = said.logits * 2
        return said

    whole.forward = forward
    with pytest.raises(UsageError, match="does more than its encoder, its decoder and its head do"):
        hfpairs.of(whole, blank=None, first=[0])
    whole.more = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match="has weights beside its encoder"):
        hfpairs.of(whole, blank=None, first=[0])
