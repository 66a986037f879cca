"""A bert computes what torch's own encoder layers compute, and nothing of what fills texts up."""

import pytest
import torch
from torch import nn

from lichen.core.errors import OptionError
from lichen.engine.modules import architecture
from lichen.nets import bert

OPTIONS = {"depth": 2, "width": 16, "num_heads": 4, "hidden": 24, "num_places": 20}


def made(num_outputs=0, **more):
    torch.manual_seed(0)
    net = architecture.build("bert", {**OPTIONS, **more}, (16, 40), num_outputs).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / 3)
    return net


def reference(block):
    """torch's layer of a transformer with a block's weights."""
    layer = nn.TransformerEncoderLayer(16, 4, 24, activation="gelu", batch_first=True, norm_first=False,
                                       layer_norm_eps=1e-12).eval()  # fmt: skip
    read = (block.query, block.key, block.value)
    layer.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in read]))
    layer.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in read]))
    for theirs, ours in ((layer.self_attn.out_proj, block.out), (layer.linear1, block.up),
                         (layer.linear2, block.down), (layer.norm1, block.after_attention),
                         (layer.norm2, block.after_mlp)):  # fmt: skip
        theirs.load_state_dict(ours.state_dict())
    return layer


@torch.no_grad()
def test_blocks_are_torchs_encoder_layers():
    net = made()
    x = torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    x[1, 5:] = 0
    said = net.norm(net.tokens(x) + net.places.weight[:9])
    for block in net.blocks:
        said = reference(block)(said, src_key_padding_mask=x == 0)
    is_told = (x != 0)[..., None]
    wanted = torch.where(is_told, said, 0.0).sum(1) / is_told.sum(1)
    torch.testing.assert_close(net(x), wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_empty_text_has_a_vector_too():
    assert torch.isfinite(made()(torch.zeros(1, 4, dtype=torch.int32))).all()


def test_mistakes_are_named():
    with pytest.raises(OptionError, match="equal width"):
        architecture.build("bert", {"width": 10, "num_heads": 4}, (16, 40), 3)
    with pytest.raises(OptionError, match="as many places, not 8(.|\n)*max_tokens=8"):
        architecture.build("bert", {**OPTIONS, "num_places": 8}, (16, 40), 3)


def test_in_bfloat16_it_learns_what_it_learns_in_float32():
    net = made(num_outputs=3, dropout=0.0)
    x = torch.randint(1, 40, (6, 12), generator=torch.Generator().manual_seed(1))
    x[1, 5:] = 0

    def pulls(precision):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = nn.functional.cross_entropy(net(x), torch.arange(6) % 3)
        loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])

    whole, rounded = pulls("float32"), pulls("bfloat16")
    assert nn.functional.cosine_similarity(whole, rounded, dim=0) > 0.99
    assert (rounded - whole).norm() < 0.1 * whole.norm()


def test_products_are_torchs_own_attention():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 7, 8, dtype=torch.bfloat16).unbind()
    is_told = torch.arange(7) < torch.tensor([[7], [4]])[..., None, None]
    wanted = bert.mixed(q, k, v, is_told)
    torch.testing.assert_close(bert.mixed(q.requires_grad_(), k, v, is_told), wanted, atol=0.03, rtol=0.03)
