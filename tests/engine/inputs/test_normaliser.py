"""test_normaliser: figures merged over parts are those of the whole, and count only once settled."""

import numpy as np

from lichen.engine.inputs.normaliser import Normaliser, RewardScale


def test_parts_give_the_mean_and_deviation_of_the_whole():
    draws = np.random.default_rng(0)
    rows = (draws.standard_normal((300, 3)) * [1, 10, 100] + [5, -5, 1000]).astype(np.float32)
    one = Normaliser([3])
    for part in np.split(rows, [1, 7, 100]):
        one.count_in(part)
    assert one.shift.tolist() == [0, 0, 0]
    one.settle()
    np.testing.assert_allclose(one.shift.numpy(), rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(one.scale.numpy(), rows.std(0), rtol=1e-5)
    np.testing.assert_allclose(one.normalised(rows).std(0), 1.0, rtol=1e-4)


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sum():
    scale = RewardScale(2, discount=0.5)
    rewards = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    ended = np.array([[False, True], [False, False], [False, False]])
    scale.count_sums(rewards, ended, np.ones_like(ended))
    sums = np.array([1, 2, 3.5, 4, 6.75, 8.0])
    np.testing.assert_allclose(scale.scale.numpy(), sums.std(), rtol=1e-5)


def test_rewards_of_no_steps_are_not_counted_and_no_sum_reaches_over_a_new_beginning():
    scale = RewardScale(1, discount=0.5)
    ended, real = np.array([[True], [False], [False]]), np.array([[True], [False], [True]])
    scale.count_sums(np.array([[1], [0], [3]], np.float32), ended, real)
    np.testing.assert_allclose(scale.scale.numpy(), np.std([1, 3]), rtol=1e-5)
    scale.begin_anew()
    scale.count_sums(np.array([[8]], np.float32), ended[1:2], real[:1])
    np.testing.assert_allclose(scale.scale.numpy(), np.std([1, 3, 8]), rtol=1e-5)
