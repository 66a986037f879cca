"""Attention is the softmax it says, in one go, document by document, with a mask and from a cache."""

import math

import pytest
import torch

from lichen.layers.attention import Attention, stretches
from lichen.layers.cache import Cache
from lichen.layers.rotary import turned, turns

BATCH, LENGTH, WIDTH = 2, 7, 16


def read(num_kv_heads=2, seen=None, rows=slice(None), cache=None):
    torch.manual_seed(0)
    attention = Attention(WIDTH, 4, num_kv_heads, True, 1e-6)
    x = torch.randn(BATCH, LENGTH, WIDTH)[:, rows]
    turn = turns(torch.arange(LENGTH)[None, rows], WIDTH // 4, 100.0)[:, None]
    with torch.no_grad():
        return attention, x, turn, attention(x, turn, seen, cache, 0)


def by_hand(attention, x_BTD, turn_B1TK, seen_BTS):
    """Head by head, query by query."""
    width, groups = attention.head_width, attention.query.out_features // attention.key.out_features
    mixed = []
    for head in range(attention.query.out_features // width):
        parts = []
        for part, at in ((attention.query, head), (attention.key, head // groups)):
            one = x_BTD @ part.weight[at * width : (at + 1) * width].T
            one = one / one.square().mean(-1, keepdim=True).add(1e-6).sqrt()
            parts.append(turned(one[:, None], turn_B1TK)[:, 0])
        at = head // groups
        value = x_BTD @ attention.value.weight[at * width : (at + 1) * width].T
        scores = parts[0] @ parts[1].mT / math.sqrt(width)
        mixed.append(scores.masked_fill(~seen_BTS, -math.inf).softmax(-1) @ value)
    return torch.cat(mixed, -1) @ attention.out.weight.T


@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
@torch.no_grad()
def test_it_is_the_softmax_over_the_past(num_kv_heads):
    attention, x, turn, found = read(num_kv_heads)
    past = torch.ones(BATCH, LENGTH, LENGTH).tril().bool()
    torch.testing.assert_close(found, by_hand(attention, x, turn, past), atol=1e-6, rtol=1e-5)


def test_documents_one_by_one_are_those_behind_a_mask():
    begins = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    begins[0, 3] = begins[1, 5] = True
    assert stretches(begins) == [3, 4, 5, 2]
    document = begins.cumsum(1)
    seen = (document[:, :, None] == document[:, None]).tril()
    torch.testing.assert_close(read(seen=stretches(begins))[-1], read(seen=seen)[-1], atol=1e-6, rtol=1e-5)
    assert (read(seen=seen)[-1] - read()[-1]).abs().max() > 1e-3


def test_what_a_cache_kept_is_as_if_read_now():
    cache = Cache(room=LENGTH)
    told = []
    for begin, end in ((0, 4), (4, 5), (5, 6), (6, 7)):
        told.append(read(rows=slice(begin, end), cache=cache)[-1])
        cache.length = end
    torch.testing.assert_close(torch.cat(told, 1), read()[-1], atol=1e-6, rtol=1e-5)
