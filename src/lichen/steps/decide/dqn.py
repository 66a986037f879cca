"""dqn: learns what each action is worth from a replay of what happened, against a copy that lags behind.

Papers: Mnih et al. 2015; van Hasselt et al. 2016, equation 4 (double); Wang et al. 2016 (dueling);
    Sutton 1988 (n-step); Schaul et al. 2016, section 3.3 (prioritised).
Departs from them: updates come in rounds: rows are drawn and priorities are refreshed once per round.

Shapes: T steps, N copies, S = T * N rows, C rows of the replay, U updates of B rows, O numbers of an
observation, K actions, Q columns: action, reward, discount, weight.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.environment import Environment
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Natural, Net, Positive, Seed
from lichen.core.step import step
from lichen.engine.decision import acting, actors, apprentice, policy, practice
from lichen.engine.decision.apprentice import Plan, Practice
from lichen.engine.decision.replay import Replay, require_learning
from lichen.engine.decision.scales import Scales
from lichen.engine.modules import heads
from lichen.engine.rollout import Rollout, flat
from lichen.engine.training.gradient import Gradient

USUAL = {"mlp": {"width": 128}}
"""Options of a net where none are given."""
LEAST = 1e-3
"""Priority of a row that is predicted without error."""


@step
def dqn(
    environment: Environment,
    *,
    net: Net = "mlp",
    net_options: dict | None = None,
    num_steps: Count = 50_000,
    num_envs: Count = 8,
    horizon: Count = 32,
    num_updates: Count = 64,
    batch_size: Count = 256,
    replay: Count = 100_000,
    warmup: Natural = 1000,
    rate: Positive = 2e-3,
    schedule: Literal["constant", "linear", "cosine"] = "linear",
    discount: Fraction = 0.99,
    explore: Fraction = 0.04,
    explore_share: Fraction = 0.16,
    is_double: bool = True,
    is_dueling: bool = False,
    returns: Count = 1,
    priority: Fraction = 0.0,
    lag: Fraction = 0.95,
    clip: Positive | None = 10.0,
    normalise: bool = False,
    judge_episodes: Natural = 10,
    judge_every: Count = 4096,
    goal: float | None = None,
    seed: Seed = 0,
    run: Run,
) -> Model:
    """Learns the worth of discrete actions; the policy takes the best.

    Args:
        net_options: what the net's builder takes; None: of the mlp {"width": 128}.
        num_steps: of the environment, all copies together.
        num_envs: copies that are acted in at once.
        horizon: steps that each copy acts in a round.
        num_updates: of a round.
        replay: rows that are remembered.
        warmup: rows to collect before the first update.
        discount: what a reward is worth one step later.
        explore: share of random actions in the end.
        explore_share: share of num_steps over which random actions become so rare.
        is_double: the net chooses the next action, the copy says its worth.
        is_dueling: the net's head says apart what a state is worth and what actions add.
        returns: rewards that are summed before the copy is asked.
        priority: how much more often rows with large errors are drawn: 0 alike, 1 in proportion.
        lag: of the copy: the share of it that stays in an update; 0: it is renewed once per round.
        normalise: observations and rewards by their running deviations; the policy keeps the former.
        judge_episodes: played greedily now and then: the weights with the best mean return are kept; 0: none
            are played, and the last weights are kept.
        judge_every: steps of the environment from one judging to the next.
        goal: a judged return to stop at; None: learn to the end.

    Raises:
        UsageError: actions are continuous.
        OptionError: warmup is never over.
    """
    num_actions = policy.require_discrete(environment, "decide.dqn", "decide.sac and decide.ppo take these")
    own = policy.net(net, net_options or USUAL.get(net, {}), environment, num_actions, seed=seed)
    if is_dueling:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            heads.replace(own, "dueling", num_actions)
    agent = Agent(own)
    about = environment.observation
    kept = Replay.of(replay, about["shape"], dtype=about["dtype"])
    scales = Scales(environment, num_envs, discount) if normalise else None
    plan = Plan(
        num_steps=num_steps, round_steps=num_envs * horizon, rate=rate, schedule=schedule, clip=clip,
        judge_episodes=judge_episodes, judge_every=judge_every, goal=goal, seed=seed,
    )  # fmt: skip
    require_learning(warmup, replay, plan.num_rounds * plan.round_steps)
    goes = apprentice.begin(
        agent, environment, num_envs, plan, greedy=agent.greedy, run=run, memory=kept, scales=scales
    )
    objective = partial(loss, agent, is_double=is_double)
    gradient = Gradient(objective, goes.trainee.optimizer.parameters(), batch_size)

    def round(goes: Practice) -> Mapping[str, float]:
        draws = goes.draws()
        epsilon = actors.epsilon_at(goes.share, last=explore, over=explore_share)
        shape = (horizon, num_envs, num_actions)
        rollout = goes.act(actors.mostly_greedy(agent.outputs, draws, epsilon, shape), horizon)
        remember(kept, rollout, returns=returns, discount=discount)
        if not lag:
            agent.renew(0.0)
        if kept.num_rows < warmup:
            return {}
        chosen_UB, weights_UB = kept.drawn(draws, (num_updates, batch_size), priority)
        x_UB2O, y_UBQ = goes.measured_rows(*kept.batches(chosen_UB, weights_UB))
        losses = []
        for x_B2O, y_BQ in zip(x_UB2O, y_UBQ, strict=True):
            losses.append(goes.descend(gradient, x_B2O, y_BQ))
            if lag:
                agent.renew(lag)
        if priority:
            rows_R = np.unique(chosen_UB)
            kept.judge(rows_R, wrong(agent, goes, kept, rows_R, is_double=is_double) + LEAST)
        return {"loss": float(np.mean(losses)), "epsilon": epsilon}

    practice.practise(goes, round)
    return policy.model_of(agent.net, environment, scales=scales)


class Agent(nn.Module):
    """A net that says what each action is worth, and the copy of it that lags behind."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.copy = net, copy.deepcopy(net).requires_grad_(False)
        self.outputs = acting.outputs_of(net)

    def greedy(self, seen_NO: np.ndarray) -> np.ndarray:
        return self.outputs(seen_NO).argmax(1)

    @torch.no_grad()
    def renew(self, lag: float) -> None:
        """Brings the copy up to the net, but for a share that stays."""
        copied: list[Tensor] = [*self.copy.parameters()]
        own: list[Tensor] = [*self.net.parameters()]
        torch._foreach_lerp_(copied, own, 1.0 - lag) if lag else torch._foreach_copy_(copied, own)


def errors(agent: Agent, x_B2O: Tensor, y_BQ: Tensor, *, is_double: bool) -> Tensor:
    """(B,): what an action is said to be worth beyond what it earned and the copy says of what came next."""
    seen_BO, nexts_BO = x_B2O.unbind(1)
    done_B, reward_B, discount_B, _ = y_BQ.unbind(1)
    with torch.no_grad():
        worth_BK = agent.copy(nexts_BO)
        best_B = (agent.net(nexts_BO) if is_double else worth_BK).argmax(1, keepdim=True)
        target_B = reward_B + discount_B * worth_BK.gather(1, best_B).squeeze(1)
    return agent.net(seen_BO).gather(1, done_B.long().unsqueeze(1)).squeeze(1) - target_B


@torch.no_grad()
def wrong(agent: Agent, goes: Practice, kept: Replay, rows_R: np.ndarray, *, is_double: bool) -> Tensor:
    """(R,): how far off the net is about rows of the replay; a few at once, as they may be pictures."""
    parts = []
    for start in range(0, len(rows_R), acting.AT_ONCE):
        rows_B = rows_R[start : start + acting.AT_ONCE]
        told = goes.measured_rows(*kept.batches(rows_B, np.ones(len(rows_B), np.float32)))
        parts.append(errors(agent, *goes.taken(*told), is_double=is_double).abs().cpu())
    return torch.cat(parts)


def loss(agent: Agent, x_B2O: Tensor, y_BQ: Tensor, *, is_double: bool) -> Tensor:
    """Huber's of the errors, weighed."""
    error_B = errors(agent, x_B2O, y_BQ, is_double=is_double)
    huber_B = functional.huber_loss(error_B, torch.zeros_like(error_B), reduction="none")
    return (huber_B * y_BQ[:, 3]).mean()


def remember(kept: Replay, rollout: Rollout, *, returns: int, discount: float) -> None:
    """Adds the real rows of a rollout."""
    rewards, nexts, discounts = summed(rollout, returns, discount)
    real = rollout.real()
    kept.add(*(flat(part)[real] for part in (rollout.seen, nexts, rollout.actions, rewards, discounts)))


def summed(rollout: Rollout, returns: int, discount: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards (T, N) of up to so many steps, what was seen after them, and the discount of its worth.

    Sums stop at the end of an episode or of the rollout; after a termination the discount is 0.
    """
    rewards, nexts = rollout.rewards.copy(), rollout.nexts.copy()
    discounts = np.where(rollout.terminated, 0.0, discount).astype(np.float32)
    goes_on = ~rollout.ended
    for ahead in range(1, min(returns, len(rewards))):
        here, there = slice(0, len(rewards) - ahead), slice(ahead, None)
        more = goes_on[here]
        rewards[here] += more * discount**ahead * rollout.rewards[there]
        nexts[here][more] = rollout.nexts[there][more]
        further = np.where(rollout.terminated[there], 0.0, discount ** (ahead + 1))
        discounts[here] = np.where(more, further, discounts[here])
        goes_on = more & ~rollout.ended[there]
    return rewards, nexts, discounts
