"""test_scales: what an agent sees and earns in deviations is what happened, fresh or from a replay."""

import numpy as np
import pytest
import torch

from lichen.data import environments
from lichen.engine.decision.replay import Replay
from lichen.engine.decision.scales import Scales
from lichen.engine.rollout import Stage
from lichen.steps.decide import dqn


def ones(seen, step):
    taken = np.ones(len(seen), np.int64)
    return taken, taken


@pytest.fixture
def counted():
    world = environments.look_at("worlds:NextStep", {}, [])
    stage, scales = Stage(world, 3), Scales(world, 3, 0.9)
    stage.reset(1)
    found = stage.rollout(ones, 23)
    scales.count_in(found)
    scales.seen.settle()
    return found, scales


def test_rows_that_were_only_new_beginnings_are_not_counted(counted):
    found, scales = counted
    real = found.seen[found.is_real]
    np.testing.assert_allclose(scales.seen.shift, real.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scales.measured(found).seen[found.is_real].mean(0), 0.0, atol=1e-5)


def test_rewards_are_counted_of_real_rows_alone_and_sums_end_where_copies_begin_anew(counted):
    """By the definition: discounted sums within an episode, one of each real row."""
    found, scales = counted
    sums = []
    for copy in range(3):
        earned = 0.0
        for step in np.flatnonzero(found.is_real[:, copy]):
            earned = 0.9 * earned + found.rewards[step, copy]
            sums.append(earned)
            earned *= not found.ended[step, copy]
    assert len(sums) == found.is_real.sum() < found.rewards.size
    np.testing.assert_allclose(scales.earned.scale, np.std(sums), rtol=1e-5)


def test_rows_of_a_replay_are_measured_when_they_are_drawn_as_fresh_ones_are(counted):
    found, scales = counted
    kept, measured = (Replay.of(200, [3]) for _ in range(2))
    dqn.remember(kept, found, returns=3, discount=0.9)
    dqn.remember(measured, scales.measured(found), returns=3, discount=0.9)
    rows, weights = np.arange(kept.num_rows), np.ones(kept.num_rows, np.float32)
    drawn = scales.measured_rows(*kept.batches(rows, weights))
    for late, fresh in zip(drawn, measured.batches(rows, weights), strict=True):
        torch.testing.assert_close(late, fresh)
