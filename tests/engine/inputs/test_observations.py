"""test_observations: the bytes of a picture are shares of white, while it is learnt from and afterwards."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import session
from lichen.data import environments
from lichen.engine import answer
from lichen.engine.decision import acting, policy
from lichen.engine.decision.replay import Replay
from lichen.engine.inputs import observations

SMALL = {"num_steps": 64, "num_envs": 2, "horizon": 8, "judge_episodes": 0}


def test_bytes_become_shares_of_white_and_numbers_stay():
    told = observations.floats(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(told, torch.tensor([0.0, 0.2, 1.0]))
    assert observations.floats(torch.tensor([2.0, 300.0])).tolist() == [2.0, 300.0]


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_a_policy_answers_about_pictures_as_its_net_did_when_it_learnt(net):
    world = environments.look_at("worlds:Seen", {}, [])
    module = policy.net(net, {}, world, 2, seed=0)
    seen = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 1), np.uint8)
    learning = acting.outputs_of(module)(seen)
    afterwards = answer.runner(policy.model_of(module, world))(seen)
    np.testing.assert_allclose(learning, afterwards, atol=1e-6)


def test_a_replay_keeps_pictures_as_bytes():
    kept = Replay.of(4, [2, 2, 1], dtype="uint8")
    seen = np.full((3, 2, 2, 1), 200, np.uint8)
    kept.add(seen, seen, np.zeros(3), np.ones(3), np.ones(3))
    x, _ = kept.batches(np.array([[0, 2]]), np.ones((1, 2), np.float32))
    assert x.dtype == torch.uint8 and x.min() == 200


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("step", ["pqn", "ppo", "reinforce", "dqn", "sac"])
def test_every_way_learns_on_a_gpu(step):
    world = "worlds:Push" if step == "sac" else "worlds:Bandit"
    options = SMALL | ({"warmup": 8, "replay": 64} if step in ("dqn", "sac") else {})
    with session.using(session.Session(device="cuda")):
        model = getattr(li.decide, step)(li.environment(world), **options)
    assert all(np.isfinite(array.numpy()).all() for array in model.weights.values())
