"""pqn: learns what each action is worth from fresh rollouts alone: no replay, no lagging copy; norms hold it.

Paper: Gallici et al. 2025, "Simplifying Deep Temporal Difference Learning", algorithm 1; the targets are the
    lambda-returns of equation 11.
Departs from it: Adam, not rectified.

Shapes: T steps, N copies, S = T * N rows, B rows of a minibatch, O numbers of an observation, K actions,
Q columns: action, target, weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.environment import Environment
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Net, Positive, Seed
from lichen.core.step import step
from lichen.engine.decision import acting, actors, apprentice, policy, practice
from lichen.engine.decision.apprentice import Plan, Practice
from lichen.engine.decision.scales import Scales
from lichen.engine.rollout import Rollout, flat
from lichen.engine.training.gradient import Gradient

USUAL = {"mlp": {"width": 64, "norm": "layer"}}
"""Options of a net where none are given; a norm after each layer is what makes it stable."""


@step
def pqn(
    environment: Environment,
    *,
    net: Net = "mlp",
    net_options: dict | None = None,
    num_steps: Count = 50_000,
    num_envs: Count = 16,
    horizon: Count = 32,
    num_epochs: Count = 4,
    batch_size: Count = 128,
    rate: Positive = 1e-3,
    schedule: Literal["constant", "linear", "cosine"] = "linear",
    discount: Fraction = 0.99,
    trace: Fraction = 0.65,
    explore: Fraction = 0.05,
    explore_share: Fraction = 0.5,
    clip: Positive | None = 10.0,
    normalise: bool = True,
    judge_episodes: Natural = 10,
    judge_every: Count = 4096,
    goal: float | None = None,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Learns the worth of discrete actions quickly; the policy takes the best.

    Args:
        net_options: what the net's builder takes; None: of the mlp {"width": 64, "norm": "layer"}.
        num_steps: of the environment, all copies together.
        num_envs: copies that are acted in at once.
        horizon: steps that each copy acts before an update.
        num_epochs: times that an update goes over what was collected.
        discount: what a reward is worth one step later.
        trace: lambda of the targets: 0 asks the net after one step, 1 sums all rewards.
        explore: share of random actions in the end.
        explore_share: share of num_steps over which random actions become so rare.
        normalise: observations and rewards by their running deviations; the policy keeps the former.
        judge_episodes: played greedily now and then: the weights with the best mean return are kept; 0: none
            are played, and the last weights are kept.
        judge_every: steps of the environment from one judging to the next.
        goal: a judged return to stop at; None: learn to the end.
    """
    num_actions = policy.require_discrete(environment, "decide.pqn", "decide.sac and decide.ppo take these")
    agent = policy.net(net, net_options or USUAL.get(net, {}), environment, num_actions, seed=seed)
    outputs = acting.outputs_of(agent)

    def greedy(seen_NO: np.ndarray) -> np.ndarray:
        return outputs(seen_NO).argmax(1)

    scales = Scales(environment, num_envs, discount) if normalise else None
    plan = Plan(
        num_steps=num_steps, round_steps=num_envs * horizon, rate=rate, schedule=schedule, clip=clip,
        judge_episodes=judge_episodes, judge_every=judge_every, goal=goal, seed=seed,
    )  # fmt: skip
    goes = apprentice.begin(agent, environment, num_envs, plan, greedy=greedy, run=run, scales=scales)
    gradient = Gradient(partial(loss, agent), goes.trainee.optimizer.parameters(), batch_size)

    def round(goes: Practice) -> Mapping[str, float]:
        draws = goes.draws()
        epsilon = actors.epsilon_at(goes.share, last=explore, over=explore_share)
        shape = (horizon, num_envs, num_actions)
        rollout = goes.act(actors.mostly_greedy(outputs, draws, epsilon, shape), horizon)
        x_SO, y_SQ = experience(outputs, goes.measured(rollout), discount=discount, trace=trace)
        losses = [
            goes.descend(gradient, x_SO.index_select(0, rows_B), y_SQ.index_select(0, rows_B))
            for _ in range(num_epochs)
            for rows_B in torch.from_numpy(draws.permutation(len(x_SO))).split(batch_size)
        ]
        return {"loss": float(np.mean(losses)), "epsilon": epsilon}

    practice.practise(goes, round)
    return policy.model_of(agent, environment, scales=scales)


def experience(
    outputs: acting.Act, rollout: Rollout, *, discount: float, trace: float
) -> tuple[Tensor, Tensor]:
    """What a rollout teaches: observations (S, O) and (S, Q)."""
    best_TN = outputs(flat(rollout.nexts)).max(1).reshape(rollout.rewards.shape)
    targets_TN = targets(rollout, best_TN, discount=discount, trace=trace)
    columns = [part.reshape(-1) for part in (rollout.actions, targets_TN, rollout.is_real)]
    return torch.from_numpy(flat(rollout.seen)), torch.from_numpy(np.stack(columns, 1).astype(np.float32))


def targets(rollout: Rollout, best_TN: np.ndarray, *, discount: float, trace: float) -> np.ndarray:
    """float32 (T, N): r + discount ((1 - trace) max Q(next) + trace times the target of the step after).

    After a termination nothing is to come; at a cut and at the end of the rollout the net says what is.
    """
    found_TN = np.empty_like(rollout.rewards)
    later_N = best_TN[-1]
    for at in range(len(found_TN) - 1, -1, -1):
        later_N = np.where(rollout.ended[at], best_TN[at], (1.0 - trace) * best_TN[at] + trace * later_N)
        later_N = found_TN[at] = rollout.rewards[at] + discount * later_N * ~rollout.terminated[at]
    return found_TN


def loss(agent: nn.Module, x_BO: Tensor, y_BQ: Tensor) -> Tensor:
    """The squared error of what was done; a row of weight 0 counts for nothing."""
    done_B, target_B, weight_B = y_BQ.unbind(1)
    error_B = agent(x_BO).gather(1, done_B.long().unsqueeze(1)).squeeze(1) - target_B
    return (error_B.square() * weight_B).sum() / weight_B.sum().clamp(min=1.0)
