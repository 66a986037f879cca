"""An encoder of transformers is asked as a bert is, and one that hears what fills texts up is refused."""

import pytest
import torch

from lichen.core.errors import NotFoundError, OptionError, UsageError
from lichen.engine.modules import architecture
from lichen.nets import hfencoder

pytestmark = pytest.mark.slow  # the library takes long to import


@pytest.fixture(autouse=True)
def library():
    return pytest.importorskip("transformers")


def made(variant, num_outputs=0, **options):
    torch.manual_seed(0)
    return architecture.build(f"hf/{variant}", options, (16, 40), num_outputs).eval()


@pytest.mark.parametrize("kind", ["mpnet", "electra", "roberta", "modernbert"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@torch.no_grad()
def test_a_type_that_is_an_encoder_becomes_one(kind, pooling):
    net = made(kind, pooling=pooling)
    x = torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    x[1, 5:] = 0
    said = net.body(input_ids=x, attention_mask=(x != 0).long()).last_hidden_state
    for row, length in enumerate([9, 5, 9]):
        wanted = said[row, 0] if pooling == "cls" else said[row, :length].mean(0)
        torch.testing.assert_close(net(x)[row], wanted)
    torch.testing.assert_close(net(x[1:2, :5]), net(x)[1:2], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(net(torch.zeros(1, 4, dtype=torch.int32))).all()
    assert made(kind, num_outputs=3, pooling=pooling)(x).shape == (3, 3)


@torch.no_grad()
def test_a_type_of_two_kinds_is_what_one_says():
    x = torch.randint(1, 40, (2, 5), generator=torch.Generator().manual_seed(1))
    assert made("qwen3", kind="encoder", pooling="last")(x).shape == (2, 128)
    assert made("qwen3")(x).shape == made("qwen3", kind="decoder")(x).shape == (2, 5, 40)


def test_what_is_no_encoder_is_named():
    with pytest.raises(NotFoundError, match="no type of model `mpnett`(.|\n)*`mpnet`"):
        made("mpnett")
    with pytest.raises(UsageError, match=r"must take input_ids and attention_mask alone; FNetModel takes no"):
        made("fnet")
    with pytest.raises(UsageError, match="T5Model is an encoder-decoder"):
        made("t5", kind="encoder")
    with pytest.raises(OptionError, match="one of decoder, encoder, pairs, not reader"):
        made("mpnet", kind="reader")
    with pytest.raises(OptionError, match="`pooling` must be one of"):
        made("mpnet", pooling="least")


def test_one_that_hears_what_fills_texts_up_is_refused():
    with pytest.raises(UsageError, match="must not hear what fills texts up; ConvBertModel does"):
        made("convbert")


def test_the_guard_catches_a_planted_leak(library):
    """An encoder whose mask is lost somewhere on the way would say a text's own length."""
    config = library.ElectraConfig(hidden_size=16, num_attention_heads=2, vocab_size=40, num_hidden_layers=1,
                                   intermediate_size=16, embedding_size=16)  # fmt: skip
    deaf = library.AutoModel.from_config(config)
    assert hfencoder.of(deaf).head is not None
    plain = deaf.forward

    def forward(input_ids, attention_mask):
        return plain(input_ids=input_ids, attention_mask=torch.ones_like(attention_mask))

    deaf.forward = forward
    with pytest.raises(UsageError, match="must not hear"):
        hfencoder.of(deaf)
