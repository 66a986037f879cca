"""A row of numbers says its pair, whole or cut; batches hold rows of like length, each once."""

import numpy as np
import pytest
import torch
from translations import pairs

from lichen.data import batches, pairing, stored, tokenizer
from lichen.data.buckets import Buckets
from lichen.data.tokenizer import END, PAD


@pytest.fixture(scope="module")
def rows():
    data = pairs(300, validation=0.0, test=0.0)
    teller = tokenizer.of(tokenizer.learn(["moss", "Moos"], 264))
    return pairing.Pairs(data.rows("train"), teller, 40)


def said(teller, half):
    return teller.decode(number for number in half.tolist() if number not in (PAD, END))


def test_both_halves_say_their_texts(rows):
    whole = rows.whole()
    for form in (whole, pairing.cut(whole), whole[:, :-1]):
        sources, targets = pairing.halves(form)
        assert [said(rows.tokenizer, half) for half in sources] == rows.rows.sources
        assert [said(rows.tokenizer, half) for half in targets] == rows.wanted
    assert (pairing.halves(whole)[1][:, 0] == END).all()


def test_bytes_to_be_told_are_those_of_the_target(rows):
    told = np.where(rows.targets >= 0, rows.targets, 0).sum(1)
    assert told.tolist() == [len(text.encode()) for text in rows.wanted]
    assert ((rows.targets >= 0).sum(1) == rows.lengths()[:, 1] - 1).all()


def test_a_text_that_does_not_fit_is_cut_without_an_end(rows):
    (row,) = pairing.filled(rows.tokenizer, ["moss " * 30], ["Moos"], 8)
    source, target = pairing.halves(row[None])
    assert END not in source and (source != PAD).all()
    assert said(rows.tokenizer, target[0]) == "Moos"
    assert (target == END).sum() == 2
    alone = pairing.asked(rows.tokenizer, "moss " * 30, 8)
    assert (alone[:10] == row[:10]).all() and alone[10] == END and not alone[11:].any()


def test_rows_are_the_same_read_at_once_or_some_at_a_time(rows, monkeypatch):
    whole, lengths = rows.whole(), rows.lengths()
    monkeypatch.setattr(stored, "KEPT", stored.Kept(10**9))
    monkeypatch.setattr(pairing.Pairs, "fits", lambda *_: False)
    assert (rows.batch([5, 2, 5]) == whole[[5, 2, 5]]).all()
    assert (rows.lengths() == lengths).all()


def test_every_row_comes_once_in_an_epoch_in_an_order_of_its_own(rows):
    made = Buckets(rows=rows, batch_size=16, seed=3)
    orders = []
    for epoch in range(2):
        found = list(made.epoch(epoch))
        assert len(found) == made.steps_per_epoch
        orders.append([tuple(batch.ids.tolist()) for batch in found])
        assert sorted(id for batch in orders[-1] for id in batch) == sorted(rows.ids.view(np.int64).tolist())
    assert orders[0] != orders[1]
    assert {frozenset(batch) for batch in orders[0]} != {frozenset(batch) for batch in orders[1]}
    again = [tuple(batch.ids.tolist()) for batch in Buckets(rows=rows, batch_size=16, seed=3).epoch(1)]
    assert again == orders[1]


def test_batches_hold_as_many_tokens_and_little_else(rows):
    made = Buckets(rows=rows, batch_size=16)
    room = 16 * rows.lengths()[:, 1].mean()
    cells, tokens = 0, 0
    for batch in made.epoch(0):
        for half in batch.images.chunk(2, 1):
            longest = int((half != PAD).any(0).sum())
            cells, tokens = cells + len(half) * longest, tokens + int((half != PAD).sum())
        assert len(batch.images) * longest <= room
    assert tokens / cells > 0.9
    plain = [
        pairing.cut(rows.whole()[chosen])
        for chosen in np.array_split(np.random.default_rng(0).permutation(300), 19)
    ]
    assert tokens / sum(batch.size for batch in plain) < 0.7


def test_an_epoch_entered_in_the_middle_goes_on_as_it_would_have(rows):
    made = Buckets(rows=rows, batch_size=16)
    whole = [batch.images for batch in made.epoch(4)]
    rest = [batch.images for batch in made.epoch(4, start=7)]
    assert all(torch.equal(a, b) for a, b in zip(whole[7:], rest, strict=True))
    rounds = batches.Rounds(made, 5)
    assert torch.equal(next(rounds.epoch(1)).images, [batch.images for batch in made.epoch(0)][5])


def test_ranks_share_every_batch(rows):
    whole = list(Buckets(rows=rows, batch_size=16).epoch(0))
    parts = [list(Buckets(rows=rows, batch_size=16, rank=rank, world=2).epoch(0)) for rank in range(2)]
    for all_rows, *own in zip(whole, *parts, strict=True):
        assert sorted(all_rows.ids.tolist()) == sorted(id for part in own for id in part.ids.tolist())
        assert all(len(part.ids) > 0 for part in own)
