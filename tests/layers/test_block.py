"""A fresh block adds nothing; its norm and its dense layers are what their lines say."""

import pytest
import torch

from lichen.core.errors import OptionError
from lichen.layers.attention import Attention
from lichen.layers.block import Block, Mlp, Norm, hidden_width, start
from lichen.layers.rotary import turns


@torch.no_grad()
def test_a_fresh_block_gives_back_what_it_reads():
    torch.manual_seed(0)
    block = Block(Attention(16, 2, 2, True, 1e-6), Mlp(16, 24, True), 16, 1e-6)
    x, turn = torch.randn(2, 5, 16), turns(torch.arange(5)[None], 8, 100.0)[:, None]
    assert not torch.equal(block(x, turn, None, None, 0), x)
    start(block)
    assert torch.equal(block(x, turn, None, None, 0), x)
    assert all(
        bool(one.any()) for name, one in block.named_parameters() if "out" not in name and "down" not in name
    )
    assert 0.8 < float(block.mlp.up.weight.std()) * 16**0.5 < 1.2


@torch.no_grad()
def test_norms_and_dense_layers_by_their_formulas():
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    norm, plain, gated = Norm(8, 1e-6), Mlp(8, 12, False), Mlp(8, 12, True)
    norm.weight.normal_()
    torch.testing.assert_close(norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight)
    torch.testing.assert_close(plain(x), (x @ plain.up.weight.T).clamp(min=0) ** 2 @ plain.down.weight.T)
    gate = x @ gated.gate.weight.T
    torch.testing.assert_close(
        gated(x), (gate * gate.sigmoid() * (x @ gated.up.weight.T)) @ gated.down.weight.T
    )


def test_both_kinds_of_dense_layers_have_about_as_many_parameters():
    for width in (48, 64, 192, 768):
        relu2, swiglu = (hidden_width("gpt", mlp, width, None) for mlp in ("relu2", "swiglu"))
        assert relu2 == 4 * width and swiglu % 8 == 0 and abs(3 * swiglu - 2 * relu2) <= 24
    assert hidden_width("gpt", "relu2", 64, 100) == 100
    with pytest.raises(OptionError, match="must be relu2 or swiglu"):
        hidden_width("gpt", "relu", 64, 100)
