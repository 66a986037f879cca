"""Packed rows hold every token once, each to be told from its own document, with little room left."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError
from lichen.data import packing, stored, tokenizer
from lichen.data.tokenizer import END, PAD

TELLER = tokenizer.of(tokenizer.learn(["moss on a stone"], 260))


def documents(num=60, seed=0, longest=90):
    draws = np.random.default_rng(seed)
    letters = np.array(list("moss lichen"))
    return [f"{row} " + "".join(draws.choice(letters, draws.integers(1, longest))) for row in range(num)]


def packed(texts, length=32):
    data = li.texts(texts, splits=["train"] * len(texts))
    return packing.Packs(data.rows("train"), TELLER, length)


@pytest.mark.parametrize("length", [1, 2, 7, 32, 200])
def test_every_token_is_told_once_from_its_own_document(length):
    rows = packed(documents(), length)
    read, told = rows.whole()[:, :-1], rows.targets
    wanted = [[END, *TELLER.encode([text])[0]] for text in rows.rows.texts]
    for number, tokens in enumerate(wanted):
        is_its = told[..., 0] == number
        assert sorted(read[is_its].tolist()) == sorted(tokens)
        assert sorted(rows.whole()[:, 1:][is_its].tolist()) == sorted([*tokens[1:], END])
        assert told[is_its][:, 1].sum() == len(rows.rows.texts[number].encode())
    assert (told[..., 0] >= 0).sum() == sum(map(len, wanted))


def test_a_row_begins_with_a_document_or_goes_on_with_one_that_the_row_cut_off():
    rows = packed(documents())
    for read, told in zip(rows.whole()[:, :-1], rows.targets[..., 0], strict=True):
        changes = np.flatnonzero(np.diff(told)) + 1
        inner = changes[told[changes] >= 0]
        assert (read[inner] == END).all()
        assert set(np.flatnonzero(read[1:] == END) + 1) - set(changes.tolist()) == set()
    starts = rows.whole()[:, 0] == END
    longer = sum(len(text.encode()) + 1 > 32 for text in rows.rows.texts)
    assert longer > 0 and starts.sum() >= rows.num_rows - sum(
        len(text.encode()) // 32 for text in rows.rows.texts
    )


def test_what_fills_a_row_is_never_to_be_told():
    rows = packed(documents())
    nothing = rows.targets[..., 0] < 0
    assert (rows.whole()[:, 1:][nothing] == PAD).all()
    assert (rows.whole()[:, 1:][~nothing] != PAD).all()


def test_no_two_rows_more_are_filled_than_must_be():
    rows = packed(documents(400, longest=60), 128)
    assert rows.num_rows <= -(-(rows.targets[..., 0] >= 0).sum() // 128) + 1


def test_resident_and_streamed_rows_are_equal(monkeypatch):
    rows, again = packed(documents()), packed(documents())
    whole, told, ids = rows.whole().copy(), rows.targets, rows.ids
    monkeypatch.setattr(stored, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(stored, "KEPT", stored.Kept(0))
    assert not again.fits() and isinstance(again.stream.token_S, np.memmap)
    assert again.stream.nbytes < 4 * len(again.stream.token_S) == rows.stream.token_S.nbytes
    chosen = np.array([5, 0, rows.num_rows - 1, 5])
    np.testing.assert_array_equal(again.batch(chosen), whole[chosen])
    np.testing.assert_array_equal(again.told(chosen), told[chosen])
    assert len(set(ids.tolist())) == rows.num_rows and np.array_equal(again.ids, ids)


def test_documents_are_encoded_once_however_often_they_are_read(monkeypatch):
    texts, read = documents(), []
    rows, encode = packed(texts), tokenizer.Tokenizer.encode
    monkeypatch.setattr(stored, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(stored, "KEPT", stored.Kept(10_000_000))
    monkeypatch.setattr(
        tokenizer.Tokenizer, "encode", lambda own, said: (read.extend(said), encode(own, said))[1]
    )
    for _ in range(3):
        rows.batch(np.arange(rows.num_rows))
        rows.told(np.arange(3))
    assert read == texts


def test_a_lone_text_is_its_first_tokens():
    row = packing.row(TELLER, "moss", 8)
    assert row.tolist() == [END, *TELLER.encode(["moss"])[0], END, PAD, PAD, PAD]
    assert packing.row(TELLER, "moss and lichen", 4).tolist() == [END, *TELLER.encode(["moss"])[0]]


def test_documents_without_text_are_left_out_and_nothing_else_is_refused():
    assert packed(["moss", "", "lichen"]).num_rows == 1
    with pytest.raises(DataError, match="must hold text"):
        packed(["", ""]).num_rows  # noqa: B018
