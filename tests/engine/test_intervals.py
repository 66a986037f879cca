"""test_intervals: an interval covers what it says, also where hardly any row differs."""

import numpy as np
import pytest

from lichen.engine import intervals


def test_where_no_row_differs_the_reach_is_the_share_that_may_stay_unseen():
    low, high = intervals.paired(np.zeros(300))
    assert (1 - high) ** 300 == pytest.approx(0.05) and low == -high
    assert high == pytest.approx(3 / 300, rel=0.01), "the rule of three"


def test_one_row_that_differs_says_no_more_than_none_that_does():
    one = np.zeros(300)
    one[7] = 1.0
    assert intervals.paired(one)[1] > intervals.paired(0 * one)[1]


def test_where_many_rows_differ_it_is_the_normal_one_at_any_level():
    loss_N = np.random.default_rng(0).normal(0.1, 1.0, 400)
    reach = 2.5758293035489 * loss_N.std(ddof=1) / 20
    assert intervals.paired(loss_N, 0.99) == pytest.approx((loss_N.mean() - reach, loss_N.mean() + reach))


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1])
def test_a_true_loss_is_above_its_upper_end_as_seldom_as_it_says(share):
    """3000 validations of 300 rows, of which so many are lost."""
    draws = np.random.default_rng(1)
    missed = np.mean([intervals.paired((draws.random(300) < share) * 1.0)[1] < share for _ in range(3000)])
    assert missed < 0.05
