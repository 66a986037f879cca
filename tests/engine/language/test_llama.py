"""A gpt and the Llama made of it, or it of a Llama, say the same; what one of them cannot say is refused."""

import pytest
import torch

from lichen.core.errors import UsageError
from lichen.engine.language import llama
from lichen.engine.modules import architecture

SIZES = {"depth": 2, "width": 32, "num_heads": 4, "num_kv_heads": 2, "mlp": "swiglu", "qk_norm": False}


def drawn(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


def tokens():
    return torch.randint(3, 50, (2, 15), generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize("is_tied", [False, True])
@torch.no_grad()
def test_a_random_llama_and_its_gpt_give_equal_logits(is_tied):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=is_tied, max_position_embeddings=64,
        rope_parameters={"rope_theta": 500.0, "rope_type": "default"},
    )  # fmt: skip
    theirs = drawn(transformers.LlamaForCausalLM(config))
    ours = llama.of(config.to_dict(), theirs.state_dict()).eval()
    torch.testing.assert_close(ours(tokens()), theirs(tokens()).logits, atol=1e-4, rtol=1e-4)


def gpt(**options):
    return drawn(architecture.build("gpt", {**SIZES, "base": 700.0, **options}, (64, 50), 0))


@pytest.mark.slow
@pytest.mark.parametrize("is_tied", [False, True])
@torch.no_grad()
def test_a_gpt_and_the_llama_made_of_it_give_equal_logits(is_tied):
    pytest.importorskip("transformers")
    ours = gpt(is_tied=is_tied)
    theirs = llama.module_of(ours)
    torch.testing.assert_close(theirs(tokens()).logits, ours(tokens()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("is_tied", [False, True])
@torch.no_grad()
def test_the_way_to_a_llama_and_back_is_exact(is_tied):
    ours = gpt(is_tied=is_tied)
    again = llama.of(llama.config_of(ours), llama.tensors_of(ours)).eval()
    assert torch.equal(again(tokens()), ours(tokens()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mlp": "relu2"}, "ReLU"),
        ({"qk_norm": True}, "qk_norm"),
    ],
)
def test_what_a_llama_cannot_say_is_refused_by_name(options, said):
    net = architecture.build("gpt", {**SIZES, **options}, (64, 50), 0)
    with pytest.raises(UsageError, match=said):
        llama.module_of(net)


def test_a_gpt_about_whole_texts_and_another_net_are_no_llamas():
    with pytest.raises(UsageError, match="num_outputs"):
        llama.config_of(architecture.build("gpt", SIZES, (64, 50), 3))
    with pytest.raises(UsageError, match="not of a Bag"):
        llama.config_of(architecture.build("bag", {}, (64, 50), 3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attention_bias": True}, "attention_bias=False"),
        ({"hidden_act": "gelu"}, "hidden_act=silu"),
        ({"model_type": "mistral"}, "model_type=llama"),
        ({"head_dim": 16}, "is of shape"),
        ({"head_dim": "wide"}, "must say its sizes"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "`llama3`"),
        ({"hidden_size": None}, "must say its sizes"),
    ],
)
def test_what_a_gpt_cannot_say_is_refused_by_name(change, said):
    net = architecture.build("gpt", SIZES, (64, 50), 0)
    config, tensors = llama.config_of(net), llama.tensors_of(net)
    with pytest.raises(UsageError, match=said):
        llama.of({**config, **change}, tensors)


def test_a_missing_tensor_is_named():
    net = architecture.build("gpt", SIZES, (64, 50), 0)
    tensors = llama.tensors_of(net)
    del tensors["model.norm.weight"]
    with pytest.raises(UsageError, match=r"model\.norm\.weight` is missing"):
        llama.of(llama.config_of(net), tensors)
