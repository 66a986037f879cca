"""A cache gives back what it was told, for more rows, fewer rows and a shorter past too."""

import torch

from lichen.layers.cache import Cache


def told(cache, seed, rows=1, length=3):
    """One layer tells of some new tokens; what it gets back of all."""
    k, v = torch.randn(2, rows, 2, length, 4, generator=torch.Generator().manual_seed(seed))
    found = cache.take(0, k, v)
    cache.length += length
    return (k, v), found


def test_new_tokens_stand_behind_old_ones():
    cache = Cache(room=8)
    (first, _), _ = told(cache, 0)
    (second, _), (keys, _) = told(cache, 1, length=2)
    assert torch.equal(keys, torch.cat([first, second], 2))


def test_rows_that_share_a_beginning_go_on_apart():
    cache = Cache(room=3)
    (first, _), _ = told(cache, 0)
    both = cache.shared(2, room=5)
    (new, _), (keys, _) = told(both, 1, rows=2, length=2)
    assert torch.equal(keys, torch.cat([first.expand(2, -1, -1, -1), new], 2))
    assert cache.length == 3 and torch.equal(cache.keys[0], first)
    both.keep_rows(torch.tensor([1, 1, 0]))
    assert torch.equal(both.keys[0][:, :, 3:5], new[[1, 1, 0]])


def test_what_is_cut_off_is_read_anew_and_documents_go_on_counting():
    cache = Cache(room=8)
    begins = torch.tensor([[True, False, True]])
    assert cache.documents(begins).tolist() == [[1, 1, 2]]
    (first, _), _ = told(cache, 0)
    assert cache.documents(torch.tensor([[False, True]])).tolist() == [[1, 1, 2, 2, 3]]
    cache.cut(2)
    (second, _), (keys, _) = told(cache, 1, length=1)
    assert torch.equal(keys, torch.cat([first[:, :, :2], second], 2))
    assert cache.documents(begins[:, 2:]).tolist() == [[1, 1, 2]]
