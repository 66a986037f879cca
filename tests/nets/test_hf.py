"""A model of transformers is asked as ours are: documents side by side, keys and values kept."""

import pytest
import torch

from lichen.core.errors import NotFoundError, UsageError
from lichen.engine.modules import architecture
from lichen.engine.training import telling
from lichen.nets import hf

pytestmark = pytest.mark.slow  # the library takes long to import
KINDS = ["gpt2", "qwen2", "llama"]


@pytest.fixture(autouse=True)
def library():
    return pytest.importorskip("transformers")


def made(kind, **options):
    torch.manual_seed(0)
    return architecture.build(f"hf/{kind}", options, (24, 60), 0).eval()


def tokens(rows=3, length=16):
    x = torch.randint(3, 60, (rows, length), generator=torch.Generator().manual_seed(1))
    x[:, 0] = 1
    return x


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_says_what_the_library_says_and_documents_do_not_see_each_other(kind):
    net, x = made(kind), tokens()
    torch.testing.assert_close(net(x), net.whole[0](x).logits)
    x[:, 6] = x[1, 11] = 1
    for row, starts in enumerate(([0, 6], [0, 6, 11], [0, 6])):
        alone = [net(part[None])[0] for part in x[row].tensor_split(starts[1:])]
        torch.testing.assert_close(net(x)[row], torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_cached_and_uncached_answers_are_equal(kind):
    net, x = made(kind), tokens()
    x[1, :3] = 0  # filled up at the left
    x[:, 3] = 1
    whole, cache = net(x), net.cache(16)
    parts = [net(part, cache) for part in x.split([5, 1, 1, 9], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    cache.cut(8)
    torch.testing.assert_close(net(x[:, 8:], cache), whole[:, 8:], atol=1e-5, rtol=1e-5)
    rows = torch.tensor([2, 0, 2])
    cache.cut(8)
    cache.keep_rows(rows)
    torch.testing.assert_close(net(x[rows, 8:], cache), whole[rows, 8:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("size", "blank"), [(60, 7), (61, 60)])
@torch.no_grad()
def test_numbers_of_tokens_trade_places_in_and_out(size, blank):
    torch.manual_seed(0)
    net = architecture.build("hf/gpt2", {"blank": blank}, (24, size), 0).eval()
    x = tokens()
    x[:, 4] = blank
    theirs = torch.where(x == blank, 0, x)
    logits = net(x)
    order = list(range(60))
    order[0] = blank
    if blank < 60:
        order[blank] = 0
    else:
        assert (logits[..., 0] < -1e30).all()
    torch.testing.assert_close(logits[..., order], net.whole[0](theirs).logits)


def test_what_is_no_language_model_is_named():
    with pytest.raises(NotFoundError, match="no type of model `gtp2`(.|\n)*`gpt2`"):
        made("gtp2")
    with pytest.raises(UsageError, match="must take attention_mask, position_ids"):
        made("bloom", config={"hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 60})


CONFIG = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
          "head_dim": 32, "intermediate_size": 64, "vocab_size": 60, "max_position_embeddings": 24,
          "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": None}  # fmt: skip


@pytest.mark.parametrize(("kind", "size", "options", "by_head"), [
    ("gpt2", 60, {}, True),
    ("gpt2", 60, {"blank": 7}, False),
    ("gpt2", 61, {"blank": 60}, False),
    ("granite", 60, {"config": {**CONFIG, "logits_scaling": 8.0}}, False),
    ("gemma2", 60, {"config": {**CONFIG, "final_logit_softcapping": 30.0}}, False),
    ("gemma2", 60, {"config": {**CONFIG, "final_logit_softcapping": None}}, True),
])  # fmt: skip
@torch.no_grad()
def test_losses_are_those_of_the_logits_that_are_told(kind, size, options, by_head):
    torch.manual_seed(0)
    net, x = architecture.build(f"hf/{kind}", options, (24, size), 0).eval(), tokens()
    told = x.roll(-1, 1)
    told[0, 3:6] = 7
    told[1, 4] = 0
    expected = torch.nn.functional.cross_entropy(net(x)[told != 0], told[told != 0], reduction="none")
    torch.testing.assert_close(telling.losses(net, x, told), expected, atol=1e-5, rtol=1e-5)
    assert net.tells_by_head == by_head


@torch.no_grad()
def test_what_fills_a_row_up_behind_two_documents_needs_no_place():
    """Pairs of answers lie in rows that are longer than a table of places."""
    net = hf.build(in_shape=(8, 40), variant="gpt2", depth=1).eval()
    pair_BT = torch.tensor([[-2, 5, 6, -2, 7, 8, *[0] * 10]])
    found_BTV = net(pair_BT)
    for start in (0, 3):
        torch.testing.assert_close(found_BTV[:, start : start + 3], net(pair_BT[:, start : start + 3]))
