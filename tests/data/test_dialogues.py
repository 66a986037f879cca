"""Packed conversations and pairs hold each of them once, told only where an answer stands."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError
from lichen.data import chat, conversations, dialogues, preferences, stored, tokenizer
from lichen.data.tokenizer import PAD

CHAT = chat.of({"tokenizer": tokenizer.learn(["moss on a stone"], 270)})


def rows(num=50, seed=0, longest=40, **more):
    draws = np.random.default_rng(seed)
    return [
        {"prompt": f"{row}" + "?" * int(draws.integers(1, longest)),
         "answer": "moss " * int(draws.integers(1, 9)) + str(row), **more} for row in range(num)
    ]  # fmt: skip


def packed(given, length=96):
    data = li.conversations(given, splits=["train"] * len(given))
    return dialogues.Dialogues(data.rows("train"), CHAT, length)


def own(text):
    return CHAT.told(conversations.chosen(conversations.read(text.encode())))


@pytest.mark.parametrize("length", [48, 96, 300])
def test_every_conversation_lies_in_one_row_as_far_as_it_goes(length):
    made = packed(rows(), length)
    whole, found = made.whole(), []
    for read, told in whole:
        starts = np.flatnonzero(read < 0)
        for start, end in zip(starts, [*starts[1:], length], strict=True):
            size = max(np.flatnonzero(read[start:end]), default=0) + 1
            found.append((read[start : start + size].tolist(), told[start : start + size].tolist()))
        assert starts[0] == 0
    wanted = [tuple(line[:length].tolist() for line in own(text)) for text in made.rows.texts]
    assert sorted(found) == sorted(one for one in wanted if any(one[1]))
    assert len(set(made.ids.tolist())) == made.num_rows


@pytest.mark.parametrize("length", [48, 96, 300])
def test_what_is_cut_off_and_what_is_left_out_is_counted(length):
    made = packed(rows(), length)
    told = [own(text)[1] for text in made.rows.texts]
    is_left_out = [not told_S[:length].any() for told_S in told]
    is_cut = [len(told_S) > length for told_S in told]
    assert made.num_left_out == sum(is_left_out)
    assert made.num_cut == sum(cut and not left for cut, left in zip(is_cut, is_left_out, strict=True))
    assert (made.num_cut > 0) == (length < 96)
    assert len(np.unique(made.targets[..., 0])) - 1 == len(told) - made.num_left_out


def test_targets_count_the_bytes_of_answers():
    made = packed(rows(), 400)
    told = made.targets
    for number, text in enumerate(made.rows.texts):
        (answer,) = (one["content"] for one in conversations.read(text.encode())["messages"][1:])
        its = told[told[..., 0] == number]
        assert its[:, 1].sum() == len(answer.encode()) and len(its) == (own(text)[1] != PAD).sum()
    assert ((told[..., 0] >= 0) == (made.whole()[:, 1] != PAD)).all()


def test_rows_are_nearly_full_and_the_same_where_they_are_not_kept(monkeypatch):
    made = packed(rows(400), 256)
    assert (made.whole()[:, 0] != PAD).mean() > 0.95
    whole, chosen = made.whole().copy(), np.array([3, 0, 3])
    monkeypatch.setattr(stored, "RESIDENT_BYTES", 0)
    np.testing.assert_array_equal(made.batch(chosen), whole[chosen])


def test_what_is_too_long_is_cut_off_or_left_out_and_nothing_left_is_an_error():
    made = packed(rows(20, longest=2) + [{"prompt": "x" * 500, "answer": "never reached"}], 64)
    assert len(made.stream.lengths(64)) == 21 and (made.stream.lengths(64) == 0).sum() == 1
    with pytest.raises(DataError, match="within 8 tokens; none does"):
        packed(rows(), 8).plan  # noqa: B018


def test_a_conversation_that_the_template_refuses_is_named():
    told = tokenizer.learn(["moss"], 260)
    strict = "{% if messages[0].content == '7' %}{{ raise_exception('no') }}{% endif %}" + chat.PLAIN
    asset = {"tokenizer": told, "template": chat.plain(told, strict)}
    data = li.conversations(
        [{"prompt": "6", "answer": "a"}, {"prompt": "7", "answer": "b"}], splits=["train"] * 2
    )
    with pytest.raises(DataError, match="refuses this conversation: no") as caught:
        dialogues.Dialogues(data.rows("train"), chat.of(asset), 64).whole()
    assert "row 1" in caught.value.where


def pairs(num=40, room=200, least=256, **more):
    given = [{"prompt": row["prompt"], "chosen": row["answer"], "rejected": "no" * (number % 5 + 1), **more}
             for number, row in enumerate(rows(num))]  # fmt: skip
    data = li.conversations(given, splits=["train"] * num)
    return data, preferences.packed(data.rows("train"), CHAT, room=room, least=least)


def test_both_answers_of_a_pair_lie_in_one_row():
    data, made = pairs()
    texts, found = data.rows("train").texts, []
    for row, count in zip(made.rows_N3T, made.num_pairs, strict=True):
        assert row[2].max() == 2 * count
        for pair in range(count):
            sides = [row[:, row[2] == 2 * pair + side] for side in (1, 2)]
            assert all((side[0] < 0).sum() == 1 and side[0, 0] < 0 for side in sides)
            found.append([part.tolist() for side in sides for part in side[:2]])
    wanted = []
    for text in texts:
        said = conversations.read(text.encode())
        wanted.append([part.tolist() for side in (conversations.chosen, conversations.rejected)
                       for part in CHAT.told(side(said))])  # fmt: skip
    assert sorted(found) == sorted(wanted)
    assert (made.rows_N3T[:, 0] != PAD).mean() > 0.85 and made.num_left_out == 0
    assert made.most == made.num_pairs.max() and len(set(made.ids.tolist())) == len(made.ids)


def test_pairs_that_are_not_reached_are_left_out_and_counted():
    _, made = pairs(room=40)
    assert 0 < made.num_left_out < 40 and made.num_pairs.sum() == 40 - made.num_left_out
    with pytest.raises(DataError, match="both answers within 5 tokens"):
        pairs(room=5)
