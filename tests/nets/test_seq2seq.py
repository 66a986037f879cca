"""A seq2seq tells a target from its past and its source: the same cached, filled up, or side by side."""

import pytest
import torch

from lichen.core.errors import OptionError
from lichen.data.pairing import halves
from lichen.engine.modules import architecture

FORMS = {
    "plain": {},
    "gated": {"mlp": "swiglu", "qk_norm": False},
    "apart": {"is_tied": False, "decoder_depth": 1},
}


def made(form="plain", seed=0, **options):
    """A small net whose every weight says something."""
    chosen = {"depth": 2, "width": 32, "num_heads": 2, **FORMS[form], **options}
    net = architecture.build("seq2seq", chosen, (16, 40), 0).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return net


def row(source=6, target=6, rows=3, width=10, seed=1):
    """Pairs of tokens 2..39, filled up."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.zeros(rows, 2 * width, dtype=torch.int32)
    x[:, :source] = torch.randint(2, 40, (rows, source), generator=draws)
    x[:, width : width + target] = torch.randint(2, 40, (rows, target), generator=draws)
    return x


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_a_token_is_told_from_its_past_and_the_whole_source(form):
    net, x = made(form), row()
    told = net(x)
    assert told.shape == (3, 6, 40)
    later = x.clone()
    later[:, 13:16] = row(seed=2)[:, 13:16]
    torch.testing.assert_close(net(later)[:, :3], told[:, :3])
    assert not torch.allclose(net(later)[:, 3:], told[:, 3:], atol=1e-2)
    for place in (0, 5):
        other = x.clone()
        other[:, place] = other[:, place] % 38 + 2
        assert (net(other) - told).abs().amax((1, 2)).min() > 1e-3


@torch.no_grad()
def test_the_order_of_a_source_is_heard():
    net, x = made(), row()
    other = x.clone()
    other[:, :6] = x[:, :6].flip(1)
    assert (net(x) - net(other)).abs().amax((1, 2)).min() > 1e-3


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_what_fills_a_pair_up_does_not_change_what_is_told(form):
    net, short, long = made(form), row(4, 5), row(9, 8, seed=3)
    beside = torch.cat([short, long])
    torch.testing.assert_close(net(beside)[:3, :5], net(short), atol=1e-5, rtol=1e-4)
    narrow = torch.cat([half[:, :6] for half in halves(short)], 1)
    torch.testing.assert_close(net(narrow), net(short), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(short[:, :-1]), net(short))


def test_without_the_mask_it_would(monkeypatch):
    read = torch.Tensor.__ne__
    monkeypatch.setattr(
        torch.Tensor, "__ne__", lambda one, other: read(one, -1) if one.ndim == 2 else read(one, other)
    )
    with pytest.raises(AssertionError):
        test_what_fills_a_pair_up_does_not_change_what_is_told("plain")


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_cached_and_uncached_answers_are_equal_also_of_several_hypotheses(form):
    net, x = made(form), row()
    source, target = x.chunk(2, 1)
    others = row(seed=5).chunk(2, 1)[1]
    wanted = torch.stack([net(torch.cat([source, told], 1)) for told in (target, others)], 1)  # B, J, T, V
    rows = torch.stack([target, others], 1).flatten(0, 1)[:, :6]
    for parts in ([6], [1] * 6, [2, 1, 3]):
        memory, cache = net.read(source), net.cache(6)
        found = torch.cat([net.head(net.tell(part, memory, cache)) for part in rows.split(parts, 1)], 1)
        torch.testing.assert_close(found.unflatten(0, (3, 2)), wanted, atol=1e-4, rtol=1e-4)


def test_tables_are_one_tensor_or_two():
    for form, count in (("plain", 1), ("apart", 2)):
        net = architecture.build("seq2seq", {"depth": 1, "width": 32, **FORMS[form]}, (8, 40), 0)
        assert (net.head.weight is net.tokens.weight) == (count == 1)
        assert sum(tuple(parameter.shape) == (40, 32) for parameter in net.parameters()) == count


def test_dropout_draws_only_while_training():
    net, x = made(dropout=0.3), row()
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.allclose(net(x), net(x), atol=1e-2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 30, "num_heads": 4}, "4 heads"),
        ({"mlp": "relu"}, "relu2 or swiglu"),
        ({"dropout": 1.0}, "`dropout`"),
        ({"layers": 2}, "unknown option `layers`"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        architecture.build("seq2seq", options, (8, 40), 0)
    with pytest.raises(OptionError, match="no kinds"):
        architecture.build("seq2seq", {}, (8, 40), 3)
