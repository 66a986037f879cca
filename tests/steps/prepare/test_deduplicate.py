"""Copies leave train and no other split, and what left is told row by row."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import DataError, UsageError
from lichen.data.near import removal

WORDS = np.array(
    [f"{first}{last}" for first in ("mo", "li", "fer", "al") for last in ("ss", "chen", "ga", "re")]
)


def sentences(num_rows, seed):
    draws = np.random.default_rng(seed)
    words = draws.choice(WORDS, (num_rows, 12)), draws.integers(0, 9, (num_rows, 12)).astype(str)
    return [" ".join(row) for row in np.strings.add(*words)]


def changed(text, number):
    """The text with its last word changed: nine of ten runs of three words stay."""
    return " ".join([*text.split()[:-1], f"other{number}"])


def planted(copies=0):
    """80 train rows, 10 that equal one, 10 near one, 10 near a validation row, and some near each other."""
    rows, held = sentences(80, 0), sentences(30, 1)
    train = [
        *rows,
        *rows[:10],
        *(changed(text, 1).upper() for text in rows[10:20]),
        *(changed(text, 2) for text in held[:10]),
        *(changed(rows[20], number) for number in range(copies)),
    ]
    splits = ["train"] * len(train) + ["validation"] * 20 + ["test"] * 10
    labels = [str(row % 2) for row in range(len(splits))]
    labels[80:90] = ["0"] * 10
    return li.texts([*train, *held], labels, splits=splits)


def test_every_planted_copy_leaves_train_and_no_other_row():
    data = planted()
    less = li.prepare.deduplicate(data)
    assert less.rows("train").texts == data.rows("train").texts[:80]
    for split in ("validation", "test"):
        assert less.splits[split] == data.splits[split]
    assert np.array_equal(less.rows("train").targets, data.rows("train").targets[:80])


def test_what_left_is_told_with_the_row_it_left_for():
    data = planted()
    told = removal.removed(li.prepare.deduplicate(data))
    assert len(told) == 30
    by_row = {one["row"]: one for one in told}
    for row in range(10):
        equal, near, judged = (by_row[f"train, row {80 + 10 * part + row}"] for part in range(3))
        assert equal["for"] == f"train, row {row}" and equal["distance"] == 0.0
        assert near["for"] == f"train, row {10 + row}" and 0.0 < near["distance"] < 0.4
        assert judged["for"] == f"validation, row {row}" and judged["split"] == "validation"
    digests = {digest.tobytes().hex() for digest in data.rows("train").digests}
    assert all(one["digest"] in digests for one in told)


def test_many_copies_of_one_row_leave_it_alone():
    """More than are compared at a time."""
    less = li.prepare.deduplicate(planted(copies=30))
    assert less.num_rows("train") == 80
    assert li.prepare.deduplicate(less).rows("train").texts == less.rows("train").texts


def test_how_near_is_near_may_be_told():
    data = planted()
    assert li.prepare.deduplicate(data, farthest=0.0).num_rows("train") == 100  # equal ones alone
    assert li.prepare.deduplicate(data, farthest=1.0).num_rows("train") == 80


def test_pictures_that_show_the_same_leave_too():
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 256, (60, 6, 6)).astype(np.float64)
    images = np.kron(coarse, np.ones((4, 4))).clip(0, 255).astype("uint8")
    brighter = np.minimum(images[:15].astype(int) * 9 // 10 + 20, 255).astype("uint8")
    data = li.arrays(np.concatenate([images, brighter]), np.arange(75) % 3, splits=["train"] * 75)
    less = li.prepare.deduplicate(data)
    assert np.array_equal(less.rows("train").whole(), data.rows("train").whole()[:60])


def test_a_second_removal_keeps_what_the_first_told(tmp_path):
    less = li.prepare.deduplicate(planted(), farthest=0.0)
    again = li.prepare.deduplicate(less)
    assert [one["distance"] == 0.0 for one in removal.removed(again)] == [True] * 10 + [False] * 20
    again.save(tmp_path / "d.lichen")
    assert removal.removed(li.open(tmp_path / "d.lichen")) == removal.removed(again)
    assert again.facts()["removed"] == "30"


def test_loading_may_drop_what_is_near_test(tmp_path):
    held = sentences(20, 1)
    lines = {"train": sentences(60, 0) + [changed(text, 1) for text in held[:5]], "test": held,
             "validation": sentences(20, 2) + [changed(text, 3) for text in held[5:8]]}  # fmt: skip
    for split, rows in lines.items():
        (tmp_path / f"{split}.csv").write_text(
            "text,label\n" + "".join(f"{text},{row % 2}\n" for row, text in enumerate(rows))
        )
    kept, less = li.load(tmp_path), li.load(tmp_path, near="drop")
    assert [kept.num_rows(split) for split in ("train", "validation", "test")] == [65, 23, 20]
    assert [less.num_rows(split) for split in ("train", "validation", "test")] == [60, 20, 20]
    told = removal.removed(less)
    assert {one["split"] for one in told} == {"test"} and len(removal.removed(less, "validation")) == 3
    assert li.load(tmp_path, near="drop", keep=True).rows("train").texts == less.rows("train").texts


def test_data_of_which_nothing_is_left_are_refused():
    rows = [f"{text}!" for text in ("moss on bark grows", "Moss on bark grows", "MOSS on bark grows")]
    data = li.texts([*rows, "moss on bark grows"], list("xyxy"), splits=["train"] * 3 + ["validation"])
    with pytest.raises(DataError, match="every train row equals(.|\n)*farthest"):
        li.prepare.deduplicate(data)


def test_what_an_agent_saw_has_no_near_rows():
    from lichen.data import observations

    seen = {"train": np.zeros((6, 4), "f4")}
    data = observations.dataset(seen, {"train": np.arange(6) % 2}, labels=["a", "b"])
    with pytest.raises(UsageError, match="not observations"):
        li.prepare.deduplicate(data)
