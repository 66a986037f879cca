"""test_sac: densities of squeezed actions by their definition; each loss moves its own weights; learning."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import session
from lichen.core.errors import UsageError
from lichen.data import environments
from lichen.steps.decide import sac


def agent(seed=0):
    return sac.Agent(environments.look_at("Pendulum-v1", {}, []), "mlp", {"width": 16}, seed)


def batch(rows=6, seed=0):
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2, 3, generator=draws)
    y = torch.cat([torch.rand(rows, 1, generator=draws) * 2 - 1, torch.randn(rows, 1, generator=draws),
                   torch.full((rows, 1), 0.9), torch.ones(rows, 1),
                   torch.randn(rows, 2, generator=draws)], 1)  # fmt: skip
    return x, y


def test_the_density_of_a_squeezed_action_is_that_of_torch():
    one, (x, _) = agent(), batch()
    noise = torch.linspace(-2, 2, 6).unsqueeze(1)
    action, log = one.drawn(x[:, 0], noise)
    features = one.policy.features(x[:, 0])
    normal = torch.distributions.Normal(one.policy.head(features), one.spread(features).exp())
    squeezed = torch.distributions.TransformedDistribution(
        normal, [torch.distributions.transforms.TanhTransform()]
    )
    torch.testing.assert_close(log, squeezed.log_prob(action), rtol=1e-4, atol=1e-4)


def test_each_loss_moves_its_own_weights_as_if_it_were_alone():
    one, (x, y) = agent(), batch()
    sac.loss(one, x, y).backward()
    together = {name: p.grad.clone() for name, p in one.named_parameters() if p.requires_grad}
    one.zero_grad()
    # the critics alone: the actor's action is fixed
    seen, nexts, heat = x[:, 0], x[:, 1], one.log_heat.detach().exp()
    with torch.no_grad():
        action, log = one.drawn(nexts, y[:, 5:6])
        joined = torch.cat([nexts, action], 1)
        worth = torch.minimum(*(critic(joined) for critic in one.copies)) - heat * log
        target = y[:, 1:2] + y[:, 2:3] * worth
    joined = torch.cat([seen, y[:, :1]], 1)
    sum((critic(joined) - target).square().mean() for critic in one.critics).backward()
    for name, parameter in one.critics.named_parameters():
        torch.testing.assert_close(together[f"critics.{name}"], parameter.grad)
    one.zero_grad()
    action, log = one.drawn(seen, y[:, 4:5])
    joined = torch.cat([seen, action], 1)
    (heat * log - torch.minimum(*(critic(joined) for critic in one.critics))).mean().backward()
    for name, parameter in one.policy.named_parameters():
        torch.testing.assert_close(together[f"policy.{name}"], parameter.grad)


def test_the_copies_move_a_small_part_of_the_way():
    one = agent()
    with torch.no_grad():
        for parameter in one.critics.parameters():
            parameter.add_(1.0)
    before = [parameter.clone() for parameter in one.copies.parameters()]
    one.renew(0.75)
    for old, now in zip(before, one.copies.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.25)


def test_discrete_actions_are_refused():
    with pytest.raises(UsageError, match="continuous"):
        sac.Agent(environments.look_at("CartPole-v1", {}, []), "mlp", {}, 0)


def test_it_learns_to_push_towards_the_middle():
    with session.using(session.Session()):
        push = li.environment("worlds:Push")
        options = {
            "net_options": {"width": 32},
            "num_envs": 4,
            "horizon": 10,
            "num_updates": 40,
            "warmup": 200,
        }
        model = li.decide.sac(push, num_steps=800, batch_size=64, rate=5e-3, **options)
        assert li.evaluate(model, push, episodes=20).value > -4.0


@pytest.mark.slow
def test_an_exported_policy_does_what_the_learnt_one_does():
    with session.using(session.Session()):
        push = li.environment("worlds:Push")
        model = li.decide.sac(push, num_steps=100, warmup=50)
        dataset = li.decide.record(model, push, num_steps=400)
        assert li.evaluate(model, dataset).value == pytest.approx(1.0, abs=1e-5), (
            "what it says is what it does"
        )
        program = li.deploy.export(model, dataset)
        told = [one.predict(np.array([[0.5], [-1.0]], np.float32)) for one in (model, program)]
        np.testing.assert_allclose(
            [row["action"] for row in told[0]], [row["action"] for row in told[1]], atol=1e-4
        )
        assert all(-2 <= row["action"][0] <= 6 for row in told[0])


@pytest.mark.slow
def test_a_pendulum_is_swung_up():
    with session.using(session.Session()):
        pendulum = li.environment("Pendulum-v1")
        model = li.decide.sac(pendulum, num_steps=6000, judge_every=1000)
        assert li.evaluate(model, pendulum)["mean_return"] >= -200
