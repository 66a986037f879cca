"""A gpt reads the past of its own document, the same whether packed, cached, filled up, or alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import lichen as li
from lichen.core.errors import OptionError
from lichen.data import packing, tokenizer
from lichen.engine.modules import architecture
from lichen.layers.cache import Cache

FORMS = {
    "plain": {},
    "gated": {"mlp": "swiglu", "qk_norm": False},
    "grouped": {"num_heads": 4, "num_kv_heads": 2},
    "tied": {"is_tied": True, "num_kv_heads": 1, "num_heads": 2},
}


def made(form="plain", num_outputs=0, num_tokens=40, seed=0):
    """A small net whose every weight says something."""
    options = {"depth": 2, "width": 32, "num_heads": 2, **FORMS[form]}
    net = architecture.build("gpt", options, (16, num_tokens), num_outputs).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return net


def tokens(rows=3, length=12, seed=1, low=2):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(low, 40, (rows, length), generator=draws, dtype=torch.int32)


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_future_tokens_do_not_change_the_past(form):
    net, x = made(form), tokens()
    other = x.clone()
    other[:, 7:] = tokens(seed=2)[:, 7:]
    torch.testing.assert_close(net(x)[:, :7], net(other)[:, :7])
    assert not torch.allclose(net(x)[:, 7:], net(other)[:, 7:], atol=1e-2)


@torch.no_grad()
def test_the_order_of_the_past_is_heard():
    net, x = made(), tokens(1)
    other = x.clone()
    other[:, :2] = x[:, :2].flip(1)
    assert (net(x)[:, -1] - net(other)[:, -1]).abs().max() > 1e-3


@torch.no_grad()
def test_documents_before_an_end_are_not_seen():
    net, x = made(), tokens()
    x[:, 5] = net.end
    alone = net(x[:, 5:])
    torch.testing.assert_close(net(x)[:, 5:], alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_packed_and_unpacked_losses_of_each_token_are_equal():
    teller = tokenizer.of(tokenizer.learn(["moss"], 260))
    draws = np.random.default_rng(0)
    texts = [f"{row} " + "moss " * draws.integers(0, 5) for row in range(20)]
    data = li.texts(texts, splits=["train"] * 20)
    rows = packing.Packs(data.rows("train"), teller, 48)
    net = made(num_tokens=teller.size)
    found = losses(net, rows.whole())
    told = rows.targets[..., 0]
    assert (np.diff(told) > 0).any(), "no row holds two documents"
    for number, text in enumerate(data.rows("train").texts):
        alone = losses(net, packing.row(teller, text, 48)[None])[0, : len(text) + 1]
        np.testing.assert_allclose(found[told == number], alone, atol=1e-4)


def test_without_the_mask_packed_losses_would_differ(monkeypatch):
    monkeypatch.setattr("lichen.nets.gpt.Gpt._seen", lambda *_: None)
    with pytest.raises(AssertionError):
        test_packed_and_unpacked_losses_of_each_token_are_equal()


@torch.no_grad()
def losses(net, rows):
    x = torch.from_numpy(rows)
    return functional.cross_entropy(net(x[:, :-1]).transpose(1, 2), x[:, 1:].long(), reduction="none").numpy()


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_cached_and_uncached_answers_are_equal(form):
    net, x = made(form), tokens()
    x[1, :3] = 0  # filled up at the left
    x[:, 3] = net.end
    whole = net(x)
    cache = Cache(room=12)
    parts = [net(part, cache) for part in x.split([5, 1, 1, 3, 2], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-4, rtol=1e-4)
    assert cache.length == 12


@torch.no_grad()
def test_a_cache_goes_on_with_the_rows_that_are_kept():
    net, x = made("grouped"), tokens()
    cache = Cache(room=12)
    net(x[:, :8], cache)
    rows = torch.tensor([2, 0, 2])
    cache.keep_rows(rows)
    torch.testing.assert_close(net(x[rows, 8:], cache), net(x[rows])[:, 8:], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_several_rows_share_a_cache_and_tokens_stand_and_see_as_they_are_told():
    """Two continuations side by side after one beginning are each what it is alone."""
    net, x = made("grouped"), tokens()[:1]
    begun, first, second = x[:, :6], x[:, 6:8], x[:, 8:11]
    cache = net.cache(6)
    net.logits_at(torch.tensor([5]), begun, cache, torch.arange(6)[None], torch.ones(1, 6, 6).tril().bool())
    both = torch.cat([first, second], 1)
    place = torch.tensor([[6, 7, 6, 7, 8]])
    seen = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).tril().bool()[None]
    seen = torch.cat([torch.ones(1, 5, 6).bool(), seen], 2)
    column = torch.tensor([1, 4])
    for rows in (1, 3):
        held = cache.shared(rows, 11)
        found = net.logits_at(column, both.expand(rows, -1), held, place, seen)
        held.cut(6)
        again = net.logits_at(column, both.expand(rows, -1), held, place, seen)
        alone = [net(torch.cat([begun, part], 1))[:, -1] for part in (first, second)]
        wanted = torch.stack(alone, 1).expand(rows, -1, -1)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(again, found)


@torch.no_grad()
def test_a_text_is_read_whole_at_its_last_token():
    net, x = made(num_outputs=3), tokens()
    x[0, 6:] = 0
    torch.testing.assert_close(net(x)[:1], net(x[:1, :6]))
    assert net(x).shape == (3, 3)


def test_a_fresh_net_favours_no_token():
    net = architecture.build("gpt", {"depth": 1}, (8, 40), 0)
    assert not net(tokens()).any()
    assert net.tokens.embedding_dim == 64


def test_a_tied_head_is_one_tensor():
    net = architecture.build("gpt", {"depth": 1, "is_tied": True}, (8, 40), 0)
    assert net.head.weight is net.tokens.weight
    again = li.wrap(net, task="language_modelling").torch()
    assert again.head.weight is again.tokens.weight


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 30, "num_heads": 4}, "4 heads"),
        ({"num_heads": 4, "num_kv_heads": 3}, "equal groups"),
        ({"mlp": "relu"}, "relu2 or swiglu"),
        ({"head": 2}, "unknown option `head`"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        architecture.build("gpt", options, (8, 40), 0)


@torch.no_grad()
def test_marks_begin_documents_and_then_nothing_else_does():
    net, x = made(), tokens()
    x[:, 8] = net.end
    x[:, 0], x[:, 5] = ~x[:, 0], ~x[:, 5]
    rest = x[:, 5:].clone()
    torch.testing.assert_close(net(x)[:, 5:], net(rest), rtol=1e-4, atol=1e-5)
    plain = torch.where(x < 0, ~x, x)
    assert (net(x)[:, :5] - net(plain)[:, :5]).abs().max() < 1e-5
    assert (net(x)[:, 5:] - net(plain)[:, 5:]).abs().max() > 1e-2


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_marked_rows_are_the_same_with_a_cache(form):
    net, x = made(form), tokens()
    x[:, 8] = net.end  # inside of what was begun by a mark
    x = torch.cat([torch.zeros(3, 2, dtype=torch.int32), x], 1)
    x[:, 2] = ~x[:, 2]
    cache, parts = net.cache(14), []
    for start, end in ((0, 6), (6, 9), (9, 14)):
        parts.append(net(x[:, start:end], cache))
    torch.testing.assert_close(torch.cat(parts, 1), net(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_virtual_tokens_are_vectors_of_their_own():
    x, options = tokens(), {"depth": 2, "width": 32, "num_heads": 2}
    net = architecture.build("gpt", {**options, "num_virtual": 3}, (16, 40), 0).eval()
    plain = architecture.build("gpt", options, (16, 40), 0).eval()
    for own in (net, plain):
        torch.manual_seed(0)
        for name, parameter in own.named_parameters():
            if not name.startswith("virtual."):
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    torch.testing.assert_close(net(x), plain(x))
    before = torch.cat([torch.tensor([[40, 41, 42]] * 3, dtype=torch.int32), x], 1)
    assert net(before).shape == (3, 15, 40)
    assert (net(before)[:, 3:] - plain(x)).abs().max() > 1e-2
    net.virtual.weight.copy_(plain.tokens.weight[[7, 8, 9]])
    words = torch.cat([torch.tensor([[7, 8, 9]] * 3, dtype=torch.int32), x], 1)
    torch.testing.assert_close(net(before), plain(words))


@torch.no_grad()
def test_document_by_document_is_what_a_mask_says(monkeypatch):
    net, x = made("grouped"), tokens()
    x[0, 5], x[1, 9], x[2, 1] = ~x[0, 5], ~x[1, 9], ~x[2, 1]
    found = []
    for long in (1, 10**6):
        monkeypatch.setattr("lichen.nets.gpt.LONG", long)
        found.append(net(x))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
