"""smote: a rare class gets as many rows as a common one, between real ones, and rows that judge stay real."""

import numpy as np
import pytest

import lichen as li
from lichen.core.errors import OptionError, UsageError
from lichen.data import extension, manifest


def table(num_rows=120, rare=6, seed=0):
    """A few rows of class `rare` far from those of class `usual`."""
    draws = np.random.default_rng(seed)
    y = np.arange(num_rows) % rare == 0
    x = np.round(draws.normal(np.where(y, 8.0, 0.0), 1.0), 4)
    words = np.where(y, "cold", draws.choice(["warm", "hot"], num_rows))
    splits = ["train" if row % 4 else "validation" for row in range(num_rows)]
    return li.table({"x": x.tolist(), "w": words.tolist()}, y.astype(int), ["usual", "rare"], splits)


def added(data, more):
    """The rows that were added, with their classes."""
    is_real = extension.provenance(more).is_real
    rows = more.rows("train")
    assert is_real[: data.num_rows("train")].all()
    return [(row, more.labels[target]) for row, target, is_old in zip(
        rows.records, rows.targets.tolist(), is_real.tolist(), strict=True) if not is_old]  # fmt: skip


def test_the_rare_class_is_made_whole_of_rows_like_its_own():
    data = table()
    more = li.augment.smote(data)
    counts = np.bincount(more.rows("train").targets)
    assert counts[0] == counts[1] == np.bincount(data.rows("train").targets)[0]
    rows = added(data, more)
    assert {label for _, label in rows} == {"rare"} and more.num_synthetic == len(rows)
    assert all(row["w"] == "cold" and 5 < row["x"] < 11 for row, _ in rows)
    assert extension.provenance(more).names == ("real", "between real rows")
    assert more.splits["validation"] == data.splits["validation"]


def test_what_was_made_whole_stays_so():
    """A second call counts the rows that the first one added."""
    once = li.augment.smote(table())
    with pytest.raises(UsageError, match="no synthetic rows to add"):
        li.augment.smote(once)
    twice = li.augment.smote(table(), ratios={"usual": 0, "rare": 1})
    usual, rare = np.bincount(twice.rows("train").targets).tolist()
    assert extension.wanted(twice, None, {}).tolist() == [0, usual - rare] and usual > rare


def test_ratios_are_of_real_rows_and_say_which_classes_grow():
    data = table()
    counts = np.bincount(data.rows("train").targets)
    more = li.augment.smote(data, ratio=0.5, ratios={"rare": 2.0})
    found = [label for _, label in added(data, more)]
    assert [found.count(label) for label in data.labels] == [round(counts[0] / 2), 2 * counts[1]]
    again = li.augment.smote(more, ratio=0.5, ratios={"rare": 2.0})
    assert again.num_synthetic == 2 * more.num_synthetic


def test_equal_calls_add_equal_rows_and_seeds_others():
    data = table()
    first, second, other = (li.augment.smote(data, seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert set(manifest.ids(first, "train")) != set(manifest.ids(other, "train"))


def test_a_row_that_judges_is_never_added():
    """Between two equal rows lies the same row; it also stands in validation."""
    columns = {"w": ["a", "a", "b", "b", "a"], "v": ["c", "c", "d", "d", "c"]}
    data = li.table(columns, [0, 0, 1, 1, 0], ["x", "y"], ["train"] * 4 + ["validation"], duplicates="drop")
    assert data.num_rows("train") == 2  # those of `x` are gone
    with pytest.raises(UsageError, match="class `x` has 0|no synthetic rows to add"):
        li.augment.smote(data, ratio=1.0, ratios={"y": 0})


def test_what_cannot_be_done_is_said():
    with pytest.raises(UsageError, match="only rows of a table"):
        li.augment.smote(li.load("digits", num_train=50))
    with pytest.raises(OptionError, match="`rar` in option `ratios` is no class"):
        li.augment.smote(table(), ratios={"rar": 1})
    with pytest.raises(OptionError, match="from 0 on, not -1"):
        li.augment.smote(table(), ratios={"rare": -1})
    one = li.table({"x": [0.5, 1.5, 2.5]}, [0, 0, 1], ["a", "b"], ["train"] * 3)
    with pytest.raises(UsageError, match="class `b` has 1"):
        li.augment.smote(one)
    with pytest.raises(UsageError, match="no synthetic rows to add"):
        li.augment.smote(table(), ratio=0.0)
