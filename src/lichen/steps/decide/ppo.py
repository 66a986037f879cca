"""ppo: proximal policy optimisation: several epochs over fresh rollouts, no step too far from what acted.

Paper: Schulman et al. 2017, equations 7 and 9; advantages are those of Schulman et al. 2016, equation 16.
Departs from it: actor and critic share no layers; advantages are divided by their widest spread
    of late, not by that of a rollout.

Shapes: T steps, N copies, S = T * N rows, B rows of a minibatch, O numbers of an observation, K actions or
numbers of an action, Q columns: what was done (1 or K), its old log-probability, advantage, target, weight,
reach of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lichen.core.environment import Environment
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Net, Positive, Seed
from lichen.core.step import step
from lichen.engine.decision import actors, apprentice, policy, practice
from lichen.engine.decision.actors import ActorCritic
from lichen.engine.decision.apprentice import Plan, Practice
from lichen.engine.decision.scales import Scales
from lichen.engine.rollout import Rollout, flat
from lichen.engine.training.gradient import Gradient

USUAL = {"mlp": {"width": 64, "activation": "tanh"}}
"""Options of a net where none are given."""


@step
def ppo(
    environment: Environment,
    *,
    net: Net = "mlp",
    net_options: dict | None = None,
    num_steps: Count = 100_000,
    num_envs: Count = 8,
    horizon: Count = 32,
    num_epochs: Count = 20,
    batch_size: Count = 256,
    rate: Positive = 1e-3,
    schedule: Literal["constant", "linear", "cosine"] = "linear",
    discount: Fraction = 0.98,
    trace: Fraction = 0.8,
    clip_range: Positive = 0.2,
    entropy: Positive = 0.0,
    value_weight: Positive = 0.5,
    clip: Positive | None = 0.5,
    average: Fraction = 0.0,
    normalise: bool = False,
    judge_episodes: Natural = 10,
    judge_every: Count = 4096,
    goal: float | None = None,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Learns a policy by clipped steps; discrete and continuous actions.

    Args:
        net_options: what the net's builder takes; None: of the mlp {"width": 64, "activation": "tanh"}.
        num_steps: of the environment, all copies together.
        num_envs: copies that are acted in at once.
        horizon: steps that each copy acts before an update.
        num_epochs: times that an update goes over what was collected.
        discount: what a reward is worth one step later.
        trace: lambda of the advantages: 0 trusts the critic, 1 the returns.
        schedule: of the rate and of clip_range.
        clip_range: by which share the odds of an action may change in one update.
        entropy: what indecision is worth.
        value_weight: of the critic's loss.
        average: the share of the running average of the weights that stays in a round; that average is what
            is judged and kept. 0: the weights as they are.
        normalise: observations and rewards by their running deviations; the policy keeps the former.
        judge_episodes: played greedily now and then: the weights with the best mean return are kept; 0: none
            are played, and the last weights are kept.
        judge_every: steps of the environment from one judging to the next.
        goal: a judged return to stop at; None: learn to the end.
    """
    agent = ActorCritic(environment, net, net_options or USUAL.get(net, {}), seed)
    scales = Scales(environment, num_envs, discount) if normalise else None
    plan = Plan(
        num_steps=num_steps, round_steps=num_envs * horizon, rate=rate, schedule=schedule, clip=clip,
        judge_episodes=judge_episodes, judge_every=judge_every, goal=goal, average=average, seed=seed,
    )  # fmt: skip
    goes = apprentice.begin(agent, environment, num_envs, plan, greedy=agent.greedy, run=run, scales=scales)
    objective = partial(loss, agent, entropy=entropy, value_weight=value_weight)
    gradient = Gradient(objective, goes.trainee.optimizer.parameters(), batch_size)

    def round(goes: Practice) -> Mapping[str, float]:
        draws = goes.draws()
        rollout = goes.act(actors.drawing(agent, draws, horizon, num_envs), horizon)
        reach = clip_range * goes.shape
        x_SO, y_SQ = experience(agent, goes.measured(rollout), discount=discount, trace=trace, reach=reach)
        losses = [
            goes.descend(gradient, x_SO.index_select(0, rows_B), y_SQ.index_select(0, rows_B))
            for _ in range(num_epochs)
            for rows_B in torch.from_numpy(draws.permutation(len(x_SO))).split(batch_size)
        ]
        return {"loss": float(np.mean(losses))}

    practice.practise(goes, round)
    return policy.model_of(agent.policy, environment, scales=scales)


@torch.no_grad()
def experience(
    agent: ActorCritic, rollout: Rollout, *, discount: float, trace: float, reach: float
) -> tuple[Tensor, Tensor]:
    """What a rollout teaches: observations (S, O) as the nets take them, and (S, Q)."""
    seen_SO, nexts_SO = flat(rollout.seen), flat(rollout.nexts)
    values_TN, nexts_TN = (agent.values(rows).reshape(rollout.rewards.shape) for rows in (seen_SO, nexts_SO))
    advantages_TN = advantages(rollout.rewards, values_TN, nexts_TN, rollout.terminated, rollout.ended,
                               discount=discount, trace=trace)  # fmt: skip
    real_TN = rollout.is_real
    normal_TN = agent.normal(advantages_TN, real_TN)
    done_SX = torch.from_numpy(rollout.actions.reshape(len(seen_SO), -1).astype(np.float32))
    x_SO = torch.from_numpy(np.ascontiguousarray(seen_SO))
    columns = (normal_TN, advantages_TN + values_TN, real_TN, np.full(real_TN.shape, reach))
    told = [torch.from_numpy(column.reshape(-1, 1).astype(np.float32)) for column in columns]
    outputs_SK, place = torch.from_numpy(agent.outputs(seen_SO)), agent.spread.device
    odds_S1 = agent.log_odds(outputs_SK.to(place), done_SX.to(place)).cpu()
    return x_SO, torch.cat([done_SX, odds_S1, *told], 1)


def advantages(
    rewards_TN: np.ndarray, values_TN: np.ndarray, nexts_TN: np.ndarray, terminated_TN: np.ndarray,
    ended_TN: np.ndarray, *, discount: float, trace: float,
) -> np.ndarray:  # fmt: skip
    """float32 (T, N): A_t = d_t + discount trace A_t+1, where d_t = r_t + discount V(next) - V(seen).

    What follows a termination is worth nothing; what was cut off is worth what the critic says; and nothing
    reaches over an end.
    """
    surprise_TN = rewards_TN + discount * nexts_TN * ~terminated_TN - values_TN
    carried_TN = np.where(ended_TN, 0.0, discount * trace).astype(np.float32)
    found_TN = np.empty_like(surprise_TN)
    later_N = np.zeros_like(surprise_TN[0])
    for at in range(len(rewards_TN) - 1, -1, -1):
        later_N = found_TN[at] = surprise_TN[at] + carried_TN[at] * later_N
    return found_TN


def loss(agent: ActorCritic, x_BO: Tensor, y_BQ: Tensor, *, entropy: float, value_weight: float) -> Tensor:
    """Equation 9; a row of weight 0 counts for nothing."""
    done_BX, (old_B, advantage_B, target_B, weight_B, reach_B) = y_BQ[:, :-5], y_BQ[:, -5:].unbind(1)
    outputs_BK = agent.policy(x_BO)
    ratio_B = torch.exp(agent.log_odds(outputs_BK, done_BX).squeeze(1) - old_B)
    near_B = torch.minimum(torch.maximum(ratio_B, 1.0 - reach_B), 1.0 + reach_B)
    gain_B = torch.minimum(ratio_B * advantage_B, near_B * advantage_B)
    error_B = (agent.critic(x_BO).squeeze(1) - target_B).square()
    total_B = value_weight * error_B - gain_B
    if entropy:
        total_B = total_B - entropy * agent.indecision(outputs_BK)
    return (total_B * weight_B).sum() / weight_B.sum().clamp(min=1.0)
