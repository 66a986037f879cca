"""test_intervals: an interval covers what it says, also where hardly any row differs."""

import numpy as np
import pytest

from lichen.engine.scores import intervals

stats = pytest.importorskip("scipy.stats")


def test_where_no_row_differs_the_reach_is_the_share_that_may_stay_unseen():
    low, high = intervals.paired(np.zeros(300))
    assert (1 - high) ** 300 == pytest.approx(0.05) and low == -high
    assert high == pytest.approx(3 / 300, rel=0.01), "the rule of three"


def test_one_row_that_differs_says_no_more_than_none_that_does():
    one = np.zeros(300)
    one[7] = 1.0
    assert intervals.paired(one)[1] > intervals.paired(0 * one)[1]


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_where_rows_are_measured_it_is_students_at_any_level(level):
    loss_N = np.random.default_rng(0).normal(0.1, 1.0, 40)
    reach = stats.t.ppf(0.5 + level / 2, 39) * loss_N.std(ddof=1) / 40**0.5
    assert intervals.paired(loss_N, level) == pytest.approx((loss_N.mean() - reach, loss_N.mean() + reach))


@pytest.mark.parametrize("num_rows", [3, 8, 24])
@pytest.mark.parametrize("drawn", ["normal", "uniform"])
def test_a_measured_loss_is_covered_as_often_as_it_says_whatever_its_unit(num_rows, drawn):
    """4000 validations of some documents; the normal interval of the same rows covers as its formula says."""
    draws = np.random.default_rng(2)
    loss_RN = getattr(draws, drawn)(size=(4000, num_rows))
    loss_RN = 0.003 * (loss_RN - (0.5 if drawn == "uniform" else 0.0)) + 0.02
    spans = np.array([intervals.paired(loss_N) for loss_N in loss_RN])
    covered = np.mean((spans[:, 0] < 0.02) & (spans[:, 1] > 0.02))
    assert covered == pytest.approx(0.95, abs=0.02 if num_rows > 3 or drawn == "normal" else 0.05)
    reach_R = 1.959963984540054 * loss_RN.std(axis=1, ddof=1) / num_rows**0.5
    too_narrow = np.mean(np.abs(loss_RN.mean(1) - 0.02) < reach_R)
    if drawn == "normal":
        assert too_narrow == pytest.approx(1 - 2 * stats.t.sf(1.959963984540054, num_rows - 1), abs=0.02)
    assert covered > too_narrow


def test_a_measured_loss_is_as_sure_as_its_rows_agree():
    """24 documents that each lose about .002 bits: surely less than .01, and no .12 of anything is hidden."""
    loss_N = 0.002 + 0.001 * np.random.default_rng(3).normal(size=24)
    low, high = intervals.paired(loss_N)
    assert 0.001 < low < high < 0.003
    assert intervals.paired(1000 * loss_N) == pytest.approx((1000 * low, 1000 * high))


@pytest.mark.parametrize("harm", [0.02, 0.5])
def test_a_planted_harm_of_some_documents_is_no_better_hidden_than_it_was(harm):
    """One document in six is harmed, all others hardly: no interval of 24 says that at most .001 is lost."""
    draws = np.random.default_rng(4)
    for _ in range(300):
        loss_N = 1e-5 * draws.normal(size=24) + harm * (draws.random(24) < 1 / 6)
        is_seen = loss_N.max() > harm / 2
        assert not is_seen or intervals.paired(loss_N)[1] > harm / 12
        untouched_N = np.where(np.abs(loss_N) < harm / 2, 0.0, loss_N)
        assert intervals.paired(untouched_N)[1] >= intervals.hidden(24, 0.95)


def test_one_row_is_no_measure_of_others():
    low, high = intervals.paired(np.array([0.004]))
    assert high - 0.004 == pytest.approx(0.95) == 0.004 - low


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1])
def test_a_true_loss_is_above_its_upper_end_as_seldom_as_it_says(share):
    """3000 validations of 300 rows, of which so many are lost."""
    draws = np.random.default_rng(1)
    missed = np.mean([intervals.paired((draws.random(300) < share) * 1.0)[1] < share for _ in range(3000)])
    assert missed < 0.05


def test_equal_bits_are_equal_and_equal_answers_may_hide_one():
    """What is merged tells each document as before; of right and wrong answers the next may differ."""
    none_N = np.zeros(4)
    assert intervals.paired(none_N, outcome_N=np.array([9.9, 8.1, 7.7, 8.0])) == (0.0, 0.0)
    assert intervals.paired(none_N, outcome_N=np.array([1.0, 1.0, 0.0, 1.0])) == intervals.paired(none_N)
    few_N = np.array([0.5, 1.0, 0.75, 0.5, 0.5, 1.0, 1.0, 0.75])  # shares of several labels
    assert intervals.paired(np.zeros(8), outcome_N=few_N) == intervals.paired(np.zeros(8))
    assert intervals.paired(np.zeros(1), outcome_N=np.array([2.5])) == intervals.paired(np.zeros(1))
