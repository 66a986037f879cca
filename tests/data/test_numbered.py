"""What is made of a split is made once where it fits, row by row where it does not, and is the same."""

from dataclasses import dataclass

import numpy as np
import pytest

from lichen.data import stored
from lichen.data.numbered import Numbered


@dataclass(frozen=True, slots=True)
class Rows:
    identity: str
    split: str = "train"


@dataclass(frozen=True, slots=True, eq=False)
class Counted(Numbered):
    """Each row counts on from its number."""

    rows: Rows
    length: int
    asked: list
    num_rows = 5
    num_numbers = 3
    reading = "counting"

    def made(self, chosen):
        self.asked.append(chosen.tolist())
        return (chosen[:, None] + np.arange(self.length)).astype(np.int32)


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(stored, "KEPT", stored.Kept(10**6))


def test_what_fits_is_made_once_and_by_all_that_read_alike():
    first, second = (Counted(Rows("a"), 3, []) for _ in range(2))
    assert first.batch([4, 0]).tolist() == [[4, 5, 6], [0, 1, 2]]
    assert second.whole() is first.whole() and (first.asked, second.asked) == ([[0, 1, 2, 3, 4]], [])


@pytest.mark.parametrize("other", [Counted(Rows("b"), 3, []), Counted(Rows("a", "test"), 3, []),
                                   Counted(Rows("a"), 2, [])])  # fmt: skip
def test_other_rows_splits_and_lengths_are_made_anew(other):
    Counted(Rows("a"), 3, []).whole()
    assert other.whole().shape == (5, other.length) and other.asked


def test_what_does_not_fit_is_made_as_it_is_asked_for(monkeypatch):
    rows = Counted(Rows("a"), 3, [])
    wanted = rows.whole()[[3, 1]]
    monkeypatch.setattr(stored, "RESIDENT_BYTES", 4 * 3 * 5 - 1)
    assert not rows.fits() and (rows.batch([3, 1]) == wanted).all() and rows.asked[1:] == [[3, 1]]
    monkeypatch.setattr(stored, "RESIDENT_BYTES", 4 * 3 * 5)
    assert rows.fits()
