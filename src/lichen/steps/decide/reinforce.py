"""reinforce: what earned more than expected becomes likelier; the oldest policy gradient, with a baseline.

Paper: Williams 1992, equation 11; the baseline is a critic that learns the returns (Sutton and Barto 2018,
    section 13.4).
Departs from it: one update from the steps of many copies; episodes that the rollout cuts off are worth at
    their cut what the critic says.

Shapes: T steps, N copies, S = T * N rows, O numbers of an observation, K actions or numbers of an action,
Q columns: what was done (1 or K), advantage, return, weight.
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
def reinforce(
    environment: Environment,
    *,
    net: Net = "mlp",
    net_options: dict | None = None,
    num_steps: Count = 100_000,
    num_envs: Count = 16,
    horizon: Count = 64,
    rate: Positive = 5e-3,
    schedule: Literal["constant", "linear", "cosine"] = "linear",
    discount: Fraction = 0.98,
    entropy: Positive = 0.0,
    value_weight: Positive = 0.5,
    clip: Positive | None = 0.5,
    normalise: bool = False,
    judge_episodes: Natural = 10,
    judge_every: Count = 4096,
    goal: float | None = None,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Learns a policy by its returns alone; discrete and continuous actions.

    Args:
        net_options: what the net's builder takes; None: of the mlp {"width": 64, "activation": "tanh"}.
        num_steps: of the environment, all copies together.
        num_envs: copies that are acted in at once.
        horizon: steps that each copy acts before an update.
        discount: what a reward is worth one step later.
        entropy: what indecision is worth.
        value_weight: of the critic's loss.
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
        judge_episodes=judge_episodes, judge_every=judge_every, goal=goal, seed=seed,
    )  # fmt: skip
    goes = apprentice.begin(agent, environment, num_envs, plan, greedy=agent.greedy, run=run, scales=scales)
    objective = partial(loss, agent, entropy=entropy, value_weight=value_weight)
    gradient = Gradient(objective, goes.trainee.optimizer.parameters(), plan.round_steps)

    def round(goes: Practice) -> Mapping[str, float]:
        rollout = goes.act(actors.drawing(agent, goes.draws(), horizon, num_envs), horizon)
        return {"loss": goes.descend(gradient, *experience(agent, goes.measured(rollout), discount=discount))}

    practice.practise(goes, round)
    return policy.model_of(agent.policy, environment, scales=scales)


def experience(agent: ActorCritic, rollout: Rollout, *, discount: float) -> tuple[Tensor, Tensor]:
    """What a rollout teaches: observations (S, O) and (S, Q)."""
    values_TN, nexts_TN = (agent.values(flat(rows)).reshape(rollout.rewards.shape)
                           for rows in (rollout.seen, rollout.nexts))  # fmt: skip
    returns_TN = returns(rollout, nexts_TN, discount)
    above_TN, real_TN = returns_TN - values_TN, rollout.is_real
    normal_TN = agent.normal(above_TN, real_TN)
    columns = [np.asarray(part, np.float32).reshape(rollout.num_steps, -1)
               for part in (rollout.actions, normal_TN, returns_TN, real_TN)]  # fmt: skip
    return torch.from_numpy(flat(rollout.seen)), torch.from_numpy(np.concatenate(columns, 1))


def returns(rollout: Rollout, nexts_TN: np.ndarray, discount: float) -> np.ndarray:
    """float32 (T, N): discounted sums of what followed; what was cut off is worth what the critic says."""
    found_TN = np.empty_like(rollout.rewards)
    later_N = nexts_TN[-1]
    for at in range(len(found_TN) - 1, -1, -1):
        later_N = np.where(rollout.ended[at], nexts_TN[at], later_N)
        later_N = found_TN[at] = rollout.rewards[at] + discount * later_N * ~rollout.terminated[at]
    return found_TN


def loss(agent: ActorCritic, x_SO: Tensor, y_SQ: Tensor, *, entropy: float, value_weight: float) -> Tensor:
    """-log pi(a | s) advantage, and the critic's squared error; a row of weight 0 counts for nothing."""
    done_SX, (advantage_S, return_S, weight_S) = y_SQ[:, :-3], y_SQ[:, -3:].unbind(1)
    outputs_SK = agent.policy(x_SO)
    gain_S = agent.log_odds(outputs_SK, done_SX).squeeze(1) * advantage_S
    total_S = value_weight * (agent.critic(x_SO).squeeze(1) - return_S).square() - gain_S
    if entropy:
        total_S = total_S - entropy * agent.indecision(outputs_SK)
    return (total_S * weight_S).sum() / weight_S.sum().clamp(min=1.0)
