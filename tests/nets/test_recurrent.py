"""A text is read from both ends as torch reads packed rows, and what fills it up is never heard."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lichen.core.errors import OptionError
from lichen.engine.modules import architecture

LENGTHS = (9, 1, 4, 0, 12)
FORMS = {
    "gru": {}, "lstm": {"pool": "both"}, "deep": {"depth": 2, "pool": "mean"},
}  # fmt: skip


def made(form="gru", **more):
    torch.manual_seed(0)
    net = "lstm" if form == "lstm" else "gru"
    return architecture.build(net, {"width": 16, "embedded": 8, **FORMS[form], **more}, (12, 50), 3).eval()


def texts(lengths=LENGTHS, room=14, seed=1):
    """Texts of these lengths, each filled up to the same one."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 50, (len(lengths), room), generator=draws, dtype=torch.int32)
    return x * (torch.arange(room) < torch.tensor(lengths)[:, None])


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_what_fills_texts_up_changes_nothing(form):
    net, x = made(form), texts()
    together = net(x)
    for row, length in enumerate(LENGTHS):
        alone = net(x[row : row + 1, : max(1, length)])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@torch.no_grad()
def test_a_layer_says_what_torchs_own_says_of_packed_rows(cell):
    net, lengths = made(cell), torch.tensor([9, 1, 4, 12])
    layer, x = net.layers[0], net.tokens(texts((9, 1, 4, 12)))
    theirs = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](8, 8, batch_first=True, bidirectional=True)
    for ours, suffix in ((layer.forwards, ""), (layer.backwards, "_reverse")):
        for name, parameter in ours.named_parameters():
            getattr(theirs, name + suffix).copy_(parameter)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    wanted, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    place = torch.arange(x.shape[1])
    is_told = place < lengths[:, None]
    turned = torch.where(is_told, lengths[:, None] - 1 - place, place)
    found = layer(x, turned)
    torch.testing.assert_close(found[:, :12][is_told[:, :12]], wanted[is_told[:, :12]], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_words_is_heard():
    net, x = made(), texts((12,))
    assert (net(x) - net(x.flip(1))).abs().max() > 1e-3


def test_tokens_are_dropped_in_training_alone():
    net, x = made(token_dropout=0.5, dropout=0.0), texts()
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    ("options", "said"), [({"width": 7}, "even, not 7"), ({"pool": "meen"}, "unknown pool(.|\n)*mean")]
)
def test_mistakes_are_named(options, said):
    with pytest.raises(OptionError, match=said):
        architecture.build("gru", options, (12, 50), 3)
