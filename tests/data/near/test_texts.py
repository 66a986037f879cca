"""Texts with words changed, in other case or inside others are found; texts of one topic are not."""

import random
import re
import unicodedata

import numpy as np
import pytest

import lichen as li
from lichen.core.events import Events
from lichen.core.session import Session, using
from lichen.data.near import shingles as words_in
from lichen.data.near import texts as near

WORDS = [
    f"{first}{last}" for first in ("mo", "li", "fer", "al", "spo") for last in ("ss", "chen", "ga", "re")
]


def sentences(num_rows, seed=0, length=14):
    draws = random.Random(seed)
    return [
        " ".join(draws.choice(WORDS) + str(draws.randrange(9)) for _ in range(length))
        for _ in range(num_rows)
    ]


def prints(rows):
    data = li.texts(rows, splits=["train"] * len(rows)).rows("train")
    return near.fingerprints(data, np.arange(len(rows)))


def found(judge, rows):
    """Rows of `judge` that are near one of the others, and that occur inside one, as (row, other)."""
    return [
        set(zip(likeness.pairs.left.tolist(), likeness.pairs.right.tolist(), strict=True))
        for likeness in near.compared(prints(judge), prints(rows))
    ]


def one_word_changed(text):
    first, *rest = text.split()
    return " ".join([first, "other", *rest[1:]])


COPIES = {
    "other case": str.upper,
    "punctuation": lambda text: "«" + text.replace(" ", ", ") + "»!",
    "spaces": lambda text: "  " + text.replace(" ", "\n\t") + "\n",
    "one word changed": one_word_changed,
    "one word more": lambda text: text + " again",
    "other form of the same characters": lambda text: unicodedata.normalize("NFD", text),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_planted_copy_is_near_and_nothing_else_is(kind):
    test = [text + " café" for text in sentences(20, seed=1)]
    train = sentences(300) + [COPIES[kind](text) for text in test]
    is_near, is_inside = found(test, train)
    assert is_near == {(row, 300 + row) for row in range(20)} and not is_inside


def test_a_phrase_that_occurs_inside_a_longer_text_is_told_apart_from_a_near_one():
    train = sentences(300, length=30)
    phrases = [" ".join(text.split()[8:14]) for text in train[:20]]
    is_near, is_inside = found(phrases, train)
    assert not is_near and {(row, row) for row in range(20)} <= is_inside
    assert found(train[:20], phrases) == [set(), set()]  # a long text does not occur inside a short one


def test_characters_of_scripts_without_spaces_are_words():
    test = ["房间很干净，服务也很好，早餐一般"]
    assert found(test, ["房间很干净服务也很好。早餐不错"])[0] == {(0, 0)}
    assert found(test, ["地铁很近，价格便宜，就是有点吵"]) == [set(), set()]


def test_shares_are_those_of_sets_of_shingles():
    draws = random.Random(3)
    rows = [" ".join(draws.choice("abc") for _ in range(draws.randrange(0, 25))) for _ in range(60)]

    def runs(text):
        words = re.findall("[abc]", text)
        return {tuple(words[at : at + 3]) for at in range(len(words) - 2)} or (
            {tuple(words)} if words else set()
        )

    judge, other = prints(rows[:30]), prints(rows[30:])
    left, right = (grid.ravel() for grid in np.meshgrid(np.arange(30), np.arange(30)))
    expected = [len(runs(rows[a]) & runs(rows[30 + b])) for a, b in zip(left, right, strict=True)]
    assert near._shared(judge, other, left, right).tolist() == expected
    assert judge.size.tolist() == [len(runs(row)) for row in rows[:30]]


def test_words_are_those_between_spaces_and_punctuation():
    texts = ["Ab, c-d", "", "...", "ab C d", "naïve e\u0301"]
    row_W, code_W = words_in.words([text.encode() for text in texts])
    assert row_W.tolist() == [0, 0, 0, 3, 3, 3, 4, 4]
    assert code_W[:3].tolist() == code_W[3:6].tolist() and len(set(code_W.tolist())) == 5


def test_boilerplate_brings_no_rows_together():
    rows = [text + " copyright by the company all rights reserved" for text in sentences(200)]
    assert found(rows[:100], rows[100:]) == [set(), set()]


def test_what_arrays_of_texts_hold_twice_is_reported():
    heard, rows = [], sentences(12)
    with using(Session(events=Events(None, (heard.append,)))):
        li.texts([*rows, rows[0].upper()], splits=["train"] * 12 + ["test"])
    assert [event["text"].partition(",")[0] for event in heard] == [
        "1 test row has a near duplicate in train (kept)"
    ]


def test_a_large_split_is_sampled_by_content():
    rows = li.texts(sentences(50), splits=["train"] * 50).rows("train")
    near_all = near.sample(rows)
    assert near_all.tolist() == list(range(50))


def test_sampled_rows_stay_below_the_limit(monkeypatch):
    rows = li.texts(sentences(50), splits=["train"] * 50).rows("train")
    monkeypatch.setattr(near, "MOST_BYTES", 1000)
    chosen = near.sample(rows)
    assert 0 < len(chosen) < 50 and rows.located.length[chosen].sum() <= 1000


def test_a_split_too_large_to_be_held_is_told_apart_as_if_it_were_held(monkeypatch):
    draws = random.Random(5)
    train = sentences(300, length=60)
    test = []
    for text in train[:60]:
        words = text.split()
        for place in draws.sample(range(60), draws.randrange(0, 12)):
            words[place] = "other"
        test.append(" ".join(words))
    held, _ = found(test, train)
    within, _ = found(test + train, test + train)
    monkeypatch.setattr(near, "MOST_BYTES", 3000)
    monkeypatch.setattr(near, "BLOCK", 25)
    seen = prints(train)
    assert isinstance(seen, near.Sketch) and len(seen.code) == near.NUM_KEPT * 300
    assert len(held) > 40 and found(test, train)[0] == held
    assert found(test + train, test + train)[0] == within
    some = near.taken(prints(test), np.arange(10, 30))
    pairs = near.compared(some, seen)[0].pairs
    both = set(zip((pairs.left + 10).tolist(), pairs.right.tolist(), strict=True))
    assert both == {pair for pair in held if 10 <= pair[0] < 30}
