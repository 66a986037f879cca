"""Every token reads its whole document and nothing else, whatever stands beside it."""

import pytest
import torch

from lichen.core.errors import OptionError
from lichen.engine.modules import architecture


def made(seed=0, **options):
    """A small net whose every weight says something."""
    net = architecture.build("encoder", {"width": 32, "num_heads": 2, **options}, (16, 40), 3).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return net


def tokens(rows=3, length=12, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(2, 40, (rows, length), generator=draws, dtype=torch.int32)


@torch.no_grad()
def test_a_token_reads_what_stands_before_and_after_it():
    net, x = made(), tokens()
    for place in (0, 11):
        other = x.clone()
        other[:, place] = 2 + (x[:, place] - 1) % 38
        assert (net.each(x) - net.each(other)).abs().amax(-1).min() > 1e-4


@torch.no_grad()
def test_documents_do_not_read_each_other():
    net, x = made(), tokens()
    x[:, 0] = x[:, 5] = net.end
    other = x.clone()
    other[:, 6:] = tokens(seed=2)[:, 6:]
    torch.testing.assert_close(net.each(x)[:, :5], net.each(other)[:, :5])
    torch.testing.assert_close(net.each(x)[:, 5:], net.each(x[:, 5:]), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net.each(x)[:, 5:], net.each(other)[:, 5:], atol=1e-2)


@torch.no_grad()
def test_what_fills_texts_up_changes_nothing():
    net, x, lengths = made(), tokens(4, 14), (9, 1, 14, 0)
    x = x * (torch.arange(14) < torch.tensor(lengths)[:, None])
    together = net(x)
    assert torch.isfinite(together).all()
    for row, length in enumerate(lengths):
        torch.testing.assert_close(
            together[row], net(x[row : row + 1, : max(1, length)])[0], atol=1e-5, rtol=0
        )


@torch.no_grad()
def test_the_order_of_words_is_heard():
    net, x = made(), tokens(1)
    assert (net(x) - net(x.flip(1))).abs().max() > 1e-3


def test_a_fresh_net_says_the_mean_of_its_tokens():
    """Blocks add nothing yet, so training starts from a bag of words."""
    net = architecture.build("encoder", {"width": 32}, (16, 40), 3).eval()
    with torch.no_grad():
        wanted = net.norm(net.tokens(tokens())).mean(1)
        torch.testing.assert_close(net.features(tokens()), wanted)


@pytest.mark.parametrize(("options", "said"), [({"width": 30, "num_heads": 4}, "heads of an even width"),
                                               ({"mlp": "gelu"}, "relu2 or swiglu")])  # fmt: skip
def test_mistakes_are_named(options, said):
    with pytest.raises(OptionError, match=said):
        architecture.build("encoder", options, (16, 40), 3)
