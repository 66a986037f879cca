"""sac: soft actor-critic: earns, and stays as undecided as it can afford; for continuous actions.

Papers: Haarnoja et al. 2018a, equations 5 and 10; 2018b, equation 18, for the temperature; the smaller of two
    critics is Fujimoto et al.'s of 2018.
Departs from them: updates come in rounds, one loss moves actor, critics and temperature at once.

Shapes: T steps, N copies, U updates of B rows, O numbers of an observation, A of an action, Q columns: action
(A), reward, discount, weight, and two draws (A each) for the action here and the next one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lichen.core.environment import Environment
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Net, Positive, Seed
from lichen.core.step import step
from lichen.engine.decision import acting, actions, apprentice, policy, practice
from lichen.engine.decision.apprentice import Plan, Practice
from lichen.engine.decision.replay import Replay, require_learning
from lichen.engine.decision.scales import Scales
from lichen.engine.modules import architecture, heads
from lichen.engine.rollout import Act, Rollout, flat
from lichen.engine.training.gradient import Gradient

USUAL = {"mlp": {"width": 64}}
"""Options of a net where none are given."""
NARROWEST, WIDEST = -5.0, 2.0
"""Logarithms of the deviation that an action may be drawn with."""


@step
def sac(
    environment: Environment,
    *,
    net: Net = "mlp",
    net_options: dict | None = None,
    num_steps: Count = 20_000,
    num_envs: Count = 8,
    horizon: Count = 8,
    num_updates: Count = 64,
    batch_size: Count = 128,
    replay: Count = 100_000,
    warmup: Natural = 500,
    rate: Positive = 1e-3,
    schedule: Literal["constant", "linear", "cosine"] = "constant",
    discount: Fraction = 0.99,
    lag: Fraction = 0.995,
    clip: Positive | None = None,
    normalise: bool = False,
    judge_episodes: Natural = 10,
    judge_every: Count = 4096,
    goal: float | None = None,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Learns a policy for continuous actions from a replay; the policy takes the middle of its draws.

    Args:
        net_options: what the nets' builder takes; None: of the mlp {"width": 64}.
        num_steps: of the environment, all copies together.
        num_envs: copies that are acted in at once.
        horizon: steps that each copy acts in a round.
        num_updates: of a round.
        replay: rows that are remembered.
        warmup: rows to collect at random before the first update.
        discount: what a reward is worth one step later.
        lag: of the copies of the critics: the share of them that stays in an update.
        normalise: observations and rewards by their running deviations; the policy keeps the former.
        judge_episodes: played greedily now and then: the weights with the best mean return are kept; 0: none
            are played, and the last weights are kept.
        judge_every: steps of the environment from one judging to the next.
        goal: a judged return to stop at; None: learn to the end.

    Raises:
        UsageError: actions are discrete, or what is seen are pictures.
        OptionError: warmup is never over.
    """
    agent = Agent(environment, net, net_options or USUAL.get(net, {}), seed)
    kept = Replay.of(replay, environment.observation["shape"], agent.num_numbers)
    scales = Scales(environment, num_envs, discount) if normalise else None
    plan = Plan(
        num_steps=num_steps, round_steps=num_envs * horizon, rate=rate, schedule=schedule, clip=clip,
        judge_episodes=judge_episodes, judge_every=judge_every, goal=goal, seed=seed,
    )  # fmt: skip
    require_learning(warmup, replay, (plan.num_rounds - 1) * plan.round_steps)
    goes = apprentice.begin(
        agent, environment, num_envs, plan, greedy=agent.greedy, run=run, memory=kept, scales=scales
    )
    gradient = Gradient(partial(loss, agent), goes.trainee.optimizer.parameters(), batch_size)

    def round(goes: Practice) -> Mapping[str, float]:
        draws = goes.draws()
        is_warm = kept.num_rows >= warmup
        remember(kept, goes.act(actor(agent, draws, (horizon, num_envs), is_warm=is_warm), horizon), discount)
        if not is_warm:
            return {}
        rows = kept.batches(*kept.drawn(draws, (num_updates, batch_size)))
        x_UB2O, y_UBQ = goes.measured_rows(*rows)
        noise_UBX = draws.standard_normal((num_updates, batch_size, 2 * agent.num_numbers), np.float32)
        y_UBQ = torch.cat([y_UBQ, torch.from_numpy(noise_UBX)], 2)
        losses = []
        for x_B2O, y_BQ in zip(x_UB2O, y_UBQ, strict=True):
            losses.append(goes.descend(gradient, x_B2O, y_BQ))
            agent.renew(lag)
        return {"loss": float(np.mean(losses)), "temperature": float(agent.log_heat.detach().exp())}

    practice.practise(goes, round)
    return policy.model_of(policy.bounded(agent.policy, agent.num_numbers), environment, scales=scales)


class Agent(nn.Module):
    """The policy, whose outputs are means before the tanh, its deviations, two critics, and their copies."""

    def __init__(self, environment: Environment, net: str, options: Mapping[str, object], seed: int) -> None:
        super().__init__()
        shape = environment.observation["shape"]
        if environment.num_actions is not None or len(shape) != 1:
            raise UsageError("`decide.sac` takes continuous actions, and one list of numbers",
                             hint="decide.ppo and decide.dqn take discrete ones")  # fmt: skip
        self.num_numbers, self.range = len(environment.action["low"]), environment.action
        self.policy = policy.net(net, options, environment, self.num_numbers, seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed + 1)
            self.deviation = nn.Linear(heads.width(self.policy), self.num_numbers)
            inputs = (prod(shape) + self.num_numbers,)
            self.critics = nn.ModuleList(architecture.build(net, options, inputs, 1) for _ in range(2))
        self.copies = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_heat = nn.Parameter(torch.zeros(1))
        self.outputs = acting.outputs_of(self.policy)

    def greedy(self, seen_NO: np.ndarray) -> np.ndarray:
        """The middle of what would be drawn."""
        return actions.within(np.tanh(self.outputs(seen_NO)), self.range["low"], self.range["high"])

    def spread(self, features_BF: Tensor) -> Tensor:
        """(B, A): the logarithm of the deviation."""
        share_BA = (torch.tanh(self.deviation(features_BF)) + 1.0) / 2.0
        return NARROWEST + (WIDEST - NARROWEST) * share_BA

    def drawn(self, seen_BO: Tensor, noise_BA: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A): an action in -1 to 1, and (B, 1): the logarithm of its density."""
        features_BF = self.policy.features(seen_BO)  # type: ignore[operator]
        log_BA = self.spread(features_BF)
        before_BA = self.policy.head(features_BF) + log_BA.exp() * noise_BA  # type: ignore[operator]
        # log(1 - tanh(u)^2), which is exact also where the tanh is 1
        squeezed_BA = 2.0 * (math.log(2.0) - before_BA - functional.softplus(-2.0 * before_BA))
        normal_BA = -0.5 * noise_BA.square() - log_BA - 0.5 * math.log(2.0 * math.pi)
        return torch.tanh(before_BA), (normal_BA - squeezed_BA).sum(1, keepdim=True)

    @torch.no_grad()
    def renew(self, lag: float) -> None:
        torch._foreach_lerp_(list(self.copies.parameters()), list(self.critics.parameters()), 1.0 - lag)


def joined(seen_BO: Tensor, action_BA: Tensor) -> Tensor:
    """(B, O + A), without a list of tensors, which no tape takes."""
    size, more = seen_BO.shape[1], action_BA.shape[1]
    return functional.pad(seen_BO, (0, more)) + functional.pad(action_BA, (size, 0))


def worths(critics: nn.ModuleList, seen_BO: Tensor, action_BA: Tensor) -> list[Tensor]:
    """(B, 1) each: what two critics say of an action; their weights learn nothing by it."""
    x_BX = joined(seen_BO, action_BA)
    return [functional_call(critic, {name: p.detach() for name, p in critic.named_parameters()}, (x_BX,))
            for critic in critics]  # fmt: skip


def loss(agent: Agent, x_B2O: Tensor, y_BQ: Tensor) -> Tensor:
    """The losses of actor, critics and temperature; each moves its own weights alone."""
    size = agent.num_numbers
    seen_BO, nexts_BO = x_B2O.unbind(1)
    done_BA, reward_B1, discount_B1, _, here_BA, there_BA = y_BQ.split([size, 1, 1, 1, size, size], 1)
    heat = agent.log_heat.detach().exp()
    with torch.no_grad():
        next_BA, log_next_B1 = agent.drawn(nexts_BO, there_BA)
        worth_B1 = torch.minimum(*worths(agent.copies, nexts_BO, next_BA)) - heat * log_next_B1
        target_B1 = reward_B1 + discount_B1 * worth_B1
    x_BX = joined(seen_BO, done_BA)
    error = sum((critic(x_BX) - target_B1).square().mean() for critic in agent.critics)
    action_BA, log_B1 = agent.drawn(seen_BO, here_BA)
    regret = (heat * log_B1 - torch.minimum(*worths(agent.critics, seen_BO, action_BA))).mean()
    surplus = (log_B1.detach() - size).mean()  # the entropy aimed at is -size
    return error + regret - (agent.log_heat * surplus).sum()


def actor(agent: Agent, draws: np.random.Generator, shape: tuple[int, int], *, is_warm: bool) -> Act:
    """Draws actions: of the policy, or before it has learnt of all that there are."""
    noise_TNA = draws.standard_normal((*shape, agent.num_numbers), np.float32)
    random_TNA = draws.uniform(-1.0, 1.0, (*shape, agent.num_numbers)).astype(np.float32)

    def act(seen_NO: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        if is_warm:
            given = (torch.from_numpy(part).to(agent.log_heat.device) for part in (seen_NO, noise_TNA[step]))
            with torch.inference_mode():
                action_NA = agent.drawn(*given)[0].cpu().numpy()
        else:
            action_NA = random_TNA[step]
        return actions.within(action_NA, agent.range["low"], agent.range["high"]), action_NA

    return act


def remember(kept: Replay, rollout: Rollout, discount: float) -> None:
    """Adds the real rows of a rollout; after a termination nothing is to come."""
    real = rollout.real()
    discounts = np.where(rollout.terminated, 0.0, discount)
    columns = (rollout.seen, rollout.nexts, rollout.actions, rollout.rewards, discounts)
    kept.add(*(flat(part)[real] for part in columns))
